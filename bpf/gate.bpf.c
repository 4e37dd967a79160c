// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The program that is attached to a hooked function only calls the program in its gate. The called program (hook.bpf.c) has all policies on the
 * function. When they change, one store into the gate replaces it. A call reads the gate once:
 * it runs the old program or the new one, never both and never neither. Nothing is attached or detached, so other
 * functions, and other tracers of this one, notice nothing.
 */
#include "vmlinux/kernel.h"
#include "frame/filter.h"
#include "call/deny.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
char VERSION[] SEC("ktrail_version") = KTRAIL_VERSION;

enum gate_index {
	GATE_ENTRY = 0,  /* the entry, or the only program of the function */
	GATE_RETURN = 1,
	GATE_MAX = 2,
};

/* Runs after the program with the policies: makes a denied call fail. */
static __noinline int override(struct pt_regs *ctx)
{
	__s64 error = take_denial(ctx);

	if (error)
		bpf_override_return(ctx, error);
	return 0;
}

/*
 * The kernel requires the programs of an array to be attached alike: returns that are not have one of their own, `gate_back`.
 *
 * The index is a constant: the kernel then patches a jump to the program into the code, and the gate costs next to
 * nothing.
 */
#define SLOT(n)                                                                                                    \
	struct {                                                                                                   \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY);                                                             \
		__uint(max_entries, GATE_MAX);                                                                     \
		__type(key, __u32);                                                                                \
		__type(value, __u32);                                                                              \
	} gate_##n SEC(".maps"), gate_back_##n SEC(".maps");                                                       \
	SEC("kprobe") int gate_entry_##n(struct pt_regs *ctx) { bpf_tail_call_static(ctx, &gate_##n, GATE_ENTRY); return 0; } \
	SEC("fexit") int gate_fexit_##n(void *ctx) { bpf_tail_call_static(ctx, &gate_##n, GATE_ENTRY); return 0; }  \
	SEC("tracepoint") int gate_event_##n(void *ctx) { bpf_tail_call_static(ctx, &gate_##n, GATE_ENTRY); return 0; } \
	SEC("raw_tracepoint") int gate_raw_##n(void *ctx) { bpf_tail_call_static(ctx, &gate_##n, GATE_ENTRY); return 0; } \
	SEC("kretprobe") int gate_return_##n(struct pt_regs *ctx) { bpf_tail_call_static(ctx, &gate_##n, GATE_RETURN); return 0; } \
	SEC("kprobe") int gate_override_##n(struct pt_regs *ctx) { return override(ctx); }                         \
	SEC("fmod_ret") int gate_modify_##n(void *ctx) { bpf_tail_call_static(ctx, &gate_##n, GATE_ENTRY); return 0; } \
	SEC("fentry") int gate_fentry_##n(void *ctx) { bpf_tail_call_static(ctx, &gate_##n, GATE_ENTRY); return 0; } \
	SEC("fexit") int gate_exit_##n(void *ctx) { bpf_tail_call_static(ctx, &gate_back_##n, GATE_ENTRY); return 0; } \
	SEC("kretprobe") int gate_leave_##n(struct pt_regs *ctx) { bpf_tail_call_static(ctx, &gate_back_##n, GATE_ENTRY); return 0; }

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
