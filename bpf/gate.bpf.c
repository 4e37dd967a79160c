// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * What is attached to a hooked function: a program that only calls the one in its gate. That one (hook.bpf.c) knows all
 * policies on the function. When they change, the next one takes its place by one store into the gate. A call looks into
 * the gate once: it runs the old program or the new one, never both and never none. Nothing is attached or detached, so
 * other functions, and other tracers of this one, notice nothing.
 */
#include "vmlinux/vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "filter.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum gate_index {
	GATE_ENTRY = 0,  /* or the only program of the function */
	GATE_RETURN = 1,
	GATE_MAX = 2,
};

/* The index is a constant: the kernel then patches a jump to the program into the code, and the gate costs next to nothing. */
#define SLOT(n)                                                                                                    \
	struct {                                                                                                   \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY);                                                             \
		__uint(max_entries, GATE_MAX);                                                                     \
		__type(key, __u32);                                                                                \
		__type(value, __u32);                                                                              \
	} gate_##n SEC(".maps");                                                                                   \
	SEC("kprobe") int gate_entry_##n(struct pt_regs *ctx) { bpf_tail_call_static(ctx, &gate_##n, GATE_ENTRY); return 0; } \
	SEC("fexit") int gate_fexit_##n(void *ctx) { bpf_tail_call_static(ctx, &gate_##n, GATE_ENTRY); return 0; }  \
	SEC("kretprobe") int gate_return_##n(struct pt_regs *ctx) { bpf_tail_call_static(ctx, &gate_##n, GATE_RETURN); return 0; }

SLOT(0)
SLOT(1)
SLOT(2)
SLOT(3)
SLOT(4)
SLOT(5)
SLOT(6)
SLOT(7)
SLOT(8)
SLOT(9)
SLOT(10)
SLOT(11)
SLOT(12)
SLOT(13)
SLOT(14)
SLOT(15)
