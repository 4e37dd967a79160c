// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/btf.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "../border/addon.h"
#include "../border/failure.h"

namespace ktrail {

// The kernel's types that an object names, as a file for libbpf. libbpf compares the name of each with those of all types: the kernel's BTF has
// a hundred times as many.
class NeededTypes {
 public:
  explicit NeededTypes(const char* op);

  // The file's path, for opening the object; nullptr if the kernel has no BTF or refuses the file. libbpf then looks at the kernel's types itself.
  const char* path() const { return path_.empty() ? nullptr : path_.c_str(); }

  // Writes the types that `object` names, and all that these consist of, but not what they point to. The object must stay open.
  std::optional<Failure> Write(const btf* object, const char* op);

  // The number of a struct in the kernel's BTF, where the object names it; else 0. In the file it has another.
  uint32_t Number(std::string_view name) const;

 private:
  const btf* kernel_ = nullptr;
  Fd file_;
  std::string path_;
  std::unordered_map<std::string_view, uint32_t> structs_;
};

}  // namespace ktrail
