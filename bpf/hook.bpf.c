// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The one template of every hook. A program is a stub that says how its arguments arrive and which slot of `hooks`
 * it serves; the verifier then specialises what call.h does for that slot.
 */
#include "vmlinux/x86_64.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "core_fixes.h"
#include "event.h"

#include "maps.h"
#include "record.h"
#include "path.h"
#include "filter.h"
#include "args/number.h"
#include "match/number.h"
#include "match/text.h"
#include "match/path.h"
#include "hook.h"
#include "args/string.h"
#include "args/file.h"
#include "join.h"
#include "call.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* `raw` are the first five parameters; a system call's stand in the registers that the first points to. */
static __always_inline void take_args(struct call *call, __u32 slot, __u64 *raw)
{
	const volatile struct hook *hook = &hooks[slot];
	__u64 regs = raw[0];
	__u32 i;

	if (hook->syscall) {
		raw[0] = LOAD(pt_regs, regs, di);
		raw[1] = LOAD(pt_regs, regs, si);
		raw[2] = LOAD(pt_regs, regs, dx);
		raw[3] = LOAD(pt_regs, regs, r10);
		raw[4] = LOAD(pt_regs, regs, r8);
	}
	for (i = 0; i < ARGS_MAX; i++) {
		if (i >= hook->nargs)
			break;
		if (hook->arg_index[i] < ARGS_MAX)
			call->args[i] = narrowed(hook->arg_type[i], raw[hook->arg_index[i]]);
	}
}

static __always_inline void take_registers(struct call *call, __u32 slot, struct pt_regs *ctx)
{
	__u64 raw[ARGS_MAX] = {
		PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx), PT_REGS_PARM4(ctx), PT_REGS_PARM5(ctx),
	};

	take_args(call, slot, raw);
}

/* kprobe, kprobe.multi: no return value asked for. */
static __noinline int on_entry(struct pt_regs *ctx, __u32 slot)
{
	struct scratch *s = scratch_of(slot);
	int alive;

	if (!s)
		return 0;
	take_registers(&s->call, slot, ctx);
	alive = hook_screen(s, slot);
	return alive < 0 ? 0 : hook_record(slot, alive);
}

/* fexit: arguments and return value in one place. */
static __noinline int on_exit(void *ctx, __u32 slot)
{
	const volatile struct hook *hook = &hooks[slot];
	struct scratch *s = scratch_of(slot);
	__u64 raw[ARGS_MAX] = {};
	int alive;
	__u32 i;

	if (!s)
		return 0;
	if (hook->syscall) {
		bpf_get_func_arg(ctx, 0, &raw[0]);
	} else {
		for (i = 0; i < ARGS_MAX; i++) {
			if (i >= hook->nargs)
				break;
			if (hook->arg_index[i] < ARGS_MAX && hook->arg_type[i] != ARG_NOP)
				bpf_get_func_arg(ctx, hook->arg_index[i], &raw[hook->arg_index[i]]);
		}
	}
	take_args(&s->call, slot, raw);
	bpf_get_func_ret(ctx, &s->call.returned);
	alive = hook_screen(s, slot);
	return alive < 0 ? 0 : hook_record(slot, alive);
}

/* First half of a joined return: 0 when the return is wanted. */
static __noinline int enter(struct pt_regs *ctx, __u32 slot, __u64 sp)
{
	struct join_key key = { .thread = bpf_get_current_pid_tgid(), .sp = sp, .hook = hooks[slot].id };
	struct scratch *s = scratch_of(slot);
	struct join_value value = {};

	if (!s)
		return 1;
	take_registers(&s->call, slot, ctx);
	if (hook_screen(s, slot) < 0)
		return 1;
	__builtin_memcpy(value.args, s->call.args, sizeof(value.args));
	value.entered_ns = s->call.time_ns;
	if (bpf_map_update_elem(&join, &key, &value, BPF_NOEXIST) == 0)
		return 0;
	/* The same thread at the same depth of its stack: the call before never came back to us. */
	if (bpf_map_update_elem(&join, &key, &value, BPF_EXIST) == 0) {
		count(COUNTER_RETURN_MISSED);
		return 0;
	}
	count(COUNTER_JOIN_FULL);
	return 1;
}

static __noinline int leave(struct pt_regs *ctx, __u32 slot, __u64 sp)
{
	struct join_key key = { .thread = bpf_get_current_pid_tgid(), .sp = sp, .hook = hooks[slot].id };
	struct join_value *entered = bpf_map_lookup_elem(&join, &key);
	struct scratch *s = scratch_of(slot);

	if (!entered || !s)
		return 0;
	__builtin_memcpy(s->call.args, entered->args, sizeof(s->call.args));
	s->call.time_ns = entered->entered_ns;
	s->call.returned = PT_REGS_RC(ctx);
	/* The walk of the entry is not kept and the path may have moved meanwhile: the exact filters look at it anew. */
	__builtin_memset(&s->top, 0, sizeof(s->top));
	/* Who takes the entry out answers for it; one that stays is counted by the next entry or by the agent's sweep. */
	if (bpf_map_delete_elem(&join, &key))
		return 0;
	return hook_record(slot, hooks[slot].nselectors ? selectors_by_number(&hooks[slot], s->call.args) : 0);
}

#define JOINED_SP(ctx) (PT_REGS_SP(ctx) - sizeof(__u64)) /* the return address is popped by now */

/* One program for both ends; an entry that answers 1 has no return. */
static __noinline int on_session(struct pt_regs *ctx, __u32 slot)
{
	__u64 *cookie = SESSION_COOKIE(ctx);

	if (!SESSION_IS_RETURN(ctx)) {
		*cookie = PT_REGS_SP(ctx);
		return enter(ctx, slot, *cookie);
	}
	leave(ctx, slot, *cookie);
	return 0;
}

#define SLOT(n)                                                                                               \
	SEC("kprobe") int hook_entry_##n(struct pt_regs *ctx) { return on_entry(ctx, n); }                     \
	SEC("fexit") int hook_fexit_##n(void *ctx) { return on_exit(ctx, n); }                                 \
	SEC("kprobe") int hook_session_##n(struct pt_regs *ctx) { return on_session(ctx, n); }                 \
	SEC("kprobe") int hook_enter_##n(struct pt_regs *ctx) { enter(ctx, n, PT_REGS_SP(ctx)); return 0; }    \
	SEC("kretprobe") int hook_leave_##n(struct pt_regs *ctx) { return leave(ctx, n, JOINED_SP(ctx)); }

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
