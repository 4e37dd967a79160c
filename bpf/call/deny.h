/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_CALL_DENY_H
#define KTRAIL_CALL_DENY_H

#include "../vmlinux/kernel.h"

/*
 * Makes a call fail at a kprobe. A program with bpf_override_return may not call another program, so the program with the policies leaves a note
 * for it. Both are kprobes of one function, which the kernel runs one after the other on one
 * CPU, the one attached last first (kernel/kprobes.c add_new_kprobe). The note says for which call it is, should only one of
 * them run.
 */
struct denial {
	__u64 sp;  /* stack pointer: with the function, it identifies a call in progress */
	__u64 ip;
	__s64 error;  /* 0: none */
};

MAP(PERCPU_ARRAY, denials, __u32, struct denial, 1);

static __always_inline struct denial *denial_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&denials, &zero);
}

static __always_inline void leave_denial(struct pt_regs *ctx, __s64 error)
{
	struct denial *denial = denial_here();

	if (!denial)
		return;
	denial->sp = PT_REGS_SP(ctx);
	denial->ip = PT_REGS_IP(ctx);
	denial->error = error;
}

/*
 * The error of this call, once. The program with the policies takes it at its start: the override of an earlier call at this place may not have run,
 * as inside another program (kernel/trace/bpf_trace.c bpf_prog_active). Notes of other places stay: an interrupt may come between two programs.
 */
static __always_inline __s64 take_denial(struct pt_regs *ctx)
{
	struct denial *denial = denial_here();
	__s64 error;

	if (!denial || denial->sp != PT_REGS_SP(ctx) || denial->ip != PT_REGS_IP(ctx))
		return 0;
	error = denial->error;
	denial->error = 0;
	return error;
}

#endif
