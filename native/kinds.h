// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/bpf.h>

#include <string_view>

namespace ktrail {

// linux/bpf.h of 6.10; libbpf 1.1 does not know it.
constexpr int kTraceKprobeSession = 56;

// How a program is bound: what the kernel is told at load and at attach. Names are AttachKind of types.ts.
struct Kind {
  std::string_view name;
  bpf_prog_type type;
  int expected;        // expected_attach_type; for the multi kinds also the link's attach type
  bool multi;          // one link over many symbols
  bool returns;        // runs at the return
  bool by_target;      // bound to its function by BTF before load
};

constexpr Kind kKinds[] = {
    {"kprobe.multi", BPF_PROG_TYPE_KPROBE, BPF_TRACE_KPROBE_MULTI, true, false, false},
    {"kretprobe.multi", BPF_PROG_TYPE_KPROBE, BPF_TRACE_KPROBE_MULTI, true, true, false},
    {"kprobe.session", BPF_PROG_TYPE_KPROBE, kTraceKprobeSession, true, false, false},
    {"kprobe", BPF_PROG_TYPE_KPROBE, 0, false, false, false},
    {"kretprobe", BPF_PROG_TYPE_KPROBE, 0, false, true, false},
    {"fexit", BPF_PROG_TYPE_TRACING, BPF_TRACE_FEXIT, false, true, true},
    {"tp_btf", BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP, false, false, true},
};

constexpr const Kind* FindKind(std::string_view name) {
  for (const Kind& kind : kKinds)
    if (kind.name == name) return &kind;
  return nullptr;
}

}  // namespace ktrail
