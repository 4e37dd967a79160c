// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace ktrail {

// Addresses of those `names` that /proc/kallsyms has: a function before data of the same name, the first of several.
// 0 where the kernel hides addresses. One pass; false when the file cannot be read (errno).
bool FindSymbols(const std::vector<std::string>& names, std::unordered_map<std::string, uint64_t>& found);

}  // namespace ktrail
