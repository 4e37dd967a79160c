// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/libbpf.h>

#include <optional>

#include "error.h"
#include "options.h"

namespace ktrail {

// Writes the initial bytes of one `const volatile` variable of an object that is open and not yet loaded.
std::optional<Failure> SetConstant(bpf_object* object, const ConstantPlan& constant, const std::string& path);

}  // namespace ktrail
