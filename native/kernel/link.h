// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/libbpf.h>
#include <napi.h>

#include <string>
#include <vector>

#include "plan.h"

namespace ktrail {

void InitLink(Napi::Env env, Napi::Object exports);

// Attaches a loaded program: a Link of types.ts, or empty after throwing.
Napi::Value Attached(Napi::Env env, bpf_program* program, const ProgramPlan& plan,
                     const std::vector<std::string>& symbols);

}  // namespace ktrail
