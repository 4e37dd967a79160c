// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace ktrail {

using Symbols = std::unordered_map<std::string, uint64_t>;

// Addresses of the `names` that /proc/kallsyms has: a function before data of the same name, the first of several.
// 0 where the kernel hides addresses. One pass; nothing when the file cannot be read (errno).
std::optional<Symbols> FindSymbols(const std::vector<std::string>& names);

}  // namespace ktrail
