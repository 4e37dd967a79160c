// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace ktrail {

using Symbols = std::unordered_map<std::string, uint64_t>;

// Addresses of the `names` that the kernel has; 0 where it hides them. If several symbols have a name, one of them. Nothing if /proc/kallsyms is needed and
// cannot be read (errno).
std::optional<Symbols> FindSymbols(const std::vector<std::string>& names);

}  // namespace ktrail
