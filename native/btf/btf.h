// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/btf.h>

#include <functional>
#include <memory>
#include <string>

#include "../border/addon.h"
#include "../border/promise.h"

namespace ktrail {

inline constexpr char kBtfFolder[] = "/sys/kernel/btf";
inline constexpr char kBtfFile[] = "/sys/kernel/btf/vmlinux";

using BtfPtr = std::unique_ptr<btf, Free<btf__free>>;

// The kernel's types, some 6 MB; kept until the thread of border/worker.h ends.
Result<btf*> Vmlinux(const char* op);

// Calls `each` with the types of each loaded module, which include the kernel's, until it returns false. Skips modules unloaded meanwhile.
void EachModule(btf* vmlinux, const std::function<bool(const btf* types, const std::string& module)>& each);

std::string NameOf(const btf* types, const btf_type* type);

// C text of a type; with `resolve`, typedefs are replaced by their types.
std::string TypeText(const btf* types, uint32_t id, bool resolve);

// 0 for void.
double SizeOf(const btf* types, uint32_t id);

struct Type {
  std::string text, base;
  double size_bytes = 0;
};

Type TypeOf(const btf* types, uint32_t id);

}  // namespace ktrail
