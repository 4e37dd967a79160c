// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The one template of every hooked function. A program declares how its parameters arrive and which slot of `hooks` it
 * serves; the verifier then specialises what call/screen.h does for that slot. It is never attached: gate.bpf.c calls it.
 */
#include "vmlinux/kernel.h"
#include "process/missing.h"
#include "match/task.h"
#include "args/place.h"
#include "args/bytes.h"
#include "args/event.h"
#include "call/identity.h"
#include "call/deny.h"
#include "call/screen.h"
#include "call/action.h"
#include "call/match.h"
#include "call/returns.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
char VERSION[] SEC("ktrail_version") = KTRAIL_VERSION;

/* The first parameter of a system call points to the registers that hold the others. */
static __always_inline void take_syscall(struct call *call)
{
	__u64 regs = call->params[0];

	call->params[0] = SYSCALL_PARM1(regs);
	call->params[1] = SYSCALL_PARM2(regs);
	call->params[2] = SYSCALL_PARM3(regs);
	call->params[3] = SYSCALL_PARM4(regs);
	call->params[4] = SYSCALL_PARM5(regs);
}

/* Parameters that an event, or a struct pt_regs, has at known places. */
static __always_inline void take_fields(struct call *call, __u32 slot, __u64 event)
{
	const volatile struct hook *hook = &hooks[slot];
	__u32 i;

	for (i = 0; i < PARAMS_MAX; i++) {
		if (!hook->params[i])
			continue;
		call->params[i] = take_field(event, &hook->fields[i]);
	}
}

/* Registers by name. A function, so that hooks without them have all of theirs for the rest of the code. */
static __noinline int take_named(struct pt_regs *ctx, __u32 slot)
{
	struct scratch *s = scratch_of(slot);

	/* A system call has the registers of its caller. */
	if (s)
		take_fields(&s->call, slot, hooks[slot].from & FROM_SYSCALL ? PT_REGS_PARM1(ctx) : as_number(ctx));
	return 0;
}

static __always_inline void take_registers(struct call *call, __u32 slot, struct pt_regs *ctx)
{
	call->params[0] = PT_REGS_PARM1(ctx);
	call->params[1] = PT_REGS_PARM2(ctx);
	call->params[2] = PT_REGS_PARM3(ctx);
	call->params[3] = PT_REGS_PARM4(ctx);
	call->params[4] = PT_REGS_PARM5(ctx);
	if (!hooks[slot].from)
		return;
	if (hooks[slot].from & FROM_SYSCALL)
		take_syscall(call);
	if (hooks[slot].from & FROM_REGISTERS)
		take_named(ctx, slot);
}

/* The scratch of a call that begins. */
static __always_inline struct scratch *begin(__u32 slot)
{
	struct scratch *s = scratch_of(slot);

	if (s)
		s->walk.runs++;
	return s;
}

/*
 * The halves of a call stand beside each other in SLOT, not one in the other: functions that call one another share 512
 * bytes of stack.
 */

/* kprobe, kprobe.multi: no return value is needed. Returns, like the functions below, the scratch of a call that a selector may match; else NULL. */
static __noinline struct scratch *on_entry(struct pt_regs *ctx, __u32 slot)
{
	struct scratch *s = begin(slot);

	if (!s)
		return 0;
	take_registers(&s->call, slot, ctx);
	return hook_screen(s, slot) ? s : 0;
}

/* Linux 5.10 has no such helper: it refuses a program that needs others. */
#ifdef KTRAIL_BOUNDED
#define TAKE_PARAM(i)                                                \
	if (hook->params[i])                                         \
		call->params[i] = ctx[i];
#else
#define TAKE_PARAM(i)                                                \
	{                                                            \
		__u8 read = hook->params[i];                         \
                                                                     \
		if (read == PARAM_LOADED)                            \
			call->params[i] = ctx[i];                    \
		else if (read == PARAM_BY_HELPER)                    \
			bpf_get_func_arg(ctx, i, &call->params[i]);  \
	}
#endif

/* The parameters of a function with a trampoline. */
static __always_inline void take_arguments(struct call *call, __u32 slot, __u64 *ctx)
{
	const volatile struct hook *hook = &hooks[slot];

	KEEP(hook);
	TAKE_PARAM(0)
	TAKE_PARAM(1)
	TAKE_PARAM(2)
	TAKE_PARAM(3)
	TAKE_PARAM(4)
	if (hook->from)
		take_syscall(call);
}

/* fexit: parameters and return value in one place. */
static __always_inline struct scratch *on_exit(__u64 *ctx, __u32 slot)
{
	struct scratch *s = begin(slot);

	if (!s)
		return 0;
	take_arguments(&s->call, slot, ctx);
	if (!hook_screen(s, slot))
		return 0;
	bpf_get_func_ret(ctx, &s->call.returned);
	s->call.returns = HOOK_HAS_RETURN;
	return s;
}

/* The entry of a call whose return is joined. In a session's program itself: kernels that have sessions count the stack in smaller steps. */
static __always_inline struct scratch *enter(struct pt_regs *ctx, __u32 slot)
{
	struct scratch *s = begin(slot);

	if (!s)
		return 0;
	take_registers(&s->call, slot, ctx);
	s->call.sp = PT_REGS_SP(ctx);
	return hook_screen(s, slot) ? s : 0;
}

static __noinline struct scratch *on_enter(struct pt_regs *ctx, __u32 slot)
{
	return enter(ctx, slot);
}

/* The programs before and after one call have the same context, in the frame of its trampoline. */
static __always_inline __u64 frame_of(void *ctx)
{
	return as_number(ctx);
}

/* fentry and fmod_ret: parameters, before the function. */
static __noinline struct scratch *on_fentry(__u64 *ctx, __u32 slot)
{
	struct scratch *s = begin(slot);

	if (!s)
		return 0;
	take_arguments(&s->call, slot, ctx);
	if (!hook_screen(s, slot))
		return 0;
	s->call.sp = frame_of(ctx);
	return s;
}

/* A tracepoint. */
static __noinline struct scratch *on_event(void *ctx, __u32 slot)
{
	struct scratch *s = begin(slot);

	if (!s)
		return 0;
	take_fields(&s->call, slot, as_number(ctx));
	return hook_screen(s, slot) ? s : 0;
}

/*
 * If all selectors have conditions on the cgroup of the task, a call from elsewhere ends in the program itself: the functions above save and set up much
 * before they do anything.
 */
#define SCREENED(screen, ctx, n) (hooks[n].workloads != EMPTY_SET && is_elsewhere(n) ? 0 : screen(ctx, n))

/* An entry that something may match, of a call that a policy may make fail: its result without being made; 0: it is made. */
static __always_inline int judge(void *ctx, __u32 slot, struct scratch *s)
{
	if (hooks[slot].awaits)
		call_begins(slot, s, false);
	hook_record(ctx, slot, s);
	if (hooks[slot].awaits)
		call_entered(slot, s);
	return s->error;
}

#ifdef SESSION_COOKIE
/* One program for both ends; the kernel passes 8 bytes from the entry to the return. An entry that returns 1 has no return. */
#define SESSION(n)                                                                                     \
	SEC("hook") int hook_session_##n(struct pt_regs *ctx) \
	{                                                                                              \
		bool returns = SESSION_IS_RETURN(ctx);                                                 \
		struct scratch *s;                                                                     \
                                                                                                       \
		if (returns)                                                                           \
			s = carried_returns(n, JOINED_SP(ctx), *SESSION_COOKIE(ctx), PT_REGS_RC(ctx)); \
		else                                                                                   \
			s = SCREENED(enter, ctx, n);                                                        \
		if (!s)                                                                                \
			return !returns;                                                               \
		if (!returns)                                                                          \
			call_begins(n, s, true);                                                       \
		hook_record(ctx, n, s);                                                                \
		if (returns)                                                                           \
			return 0;                                                                      \
		*SESSION_COOKIE(ctx) = s->call.awaited ? s->call.time : 0;                             \
		return !call_entered(n, s);                                                            \
	}
#else
#define SESSION(n)
#endif

/* The end of a program that has nothing to do after the records of a call. `s`: the scratch of one, or NULL. */
static __always_inline int record(void *ctx, __u32 slot, struct scratch *s)
{
	return s ? hook_record(ctx, slot, s) : 0;
}

/* The place of a call on the stack. `in_trampoline`: the program is in one, and not at a probe, whose context is struct pt_regs. */
static __always_inline __u64 place_of_entry(void *ctx, bool in_trampoline)
{
	return in_trampoline ? frame_of(ctx) : PT_REGS_SP((struct pt_regs *)ctx);
}

/* The entry of a call whose return is joined; `s`: its scratch, or NULL. */
static __always_inline int record_entry(void *ctx, __u32 slot, struct scratch *s, bool in_trampoline)
{
	if (!s)
		return call_passes(slot, place_of_entry(ctx, in_trampoline));
	call_begins(slot, s, false);
	hook_record(ctx, slot, s);
	call_entered(slot, s);
	return 0;
}

#define SLOT(n)                                                                                                         \
	SEC("hook") int hook_entry_##n(struct pt_regs *ctx) { return record(ctx, n, SCREENED(on_entry, ctx, n)); } \
	SEC("hook") int hook_fexit_##n(__u64 *ctx) { return record(ctx, n, SCREENED(on_exit, ctx, n)); } \
	SEC("hook") int hook_event_##n(void *ctx) { return record(ctx, n, SCREENED(on_event, ctx, n)); } \
	SEC("hook") int hook_raw_##n(void *ctx) { return record(ctx, n, SCREENED(on_event, ctx, n)); } \
	SESSION(n)                                                                                                      \
	SEC("hook") int hook_enter_##n(struct pt_regs *ctx) { return record_entry(ctx, n, SCREENED(on_enter, ctx, n), false); } \
	SEC("hook") int hook_leave_##n(struct pt_regs *ctx) { return record(ctx, n, call_returns(ctx, n, JOINED_SP(ctx), false)); } \
	SEC("hook") int hook_fentry_##n(__u64 *ctx) { return record_entry(ctx, n, SCREENED(on_fentry, ctx, n), true); } \
	SEC("hook") int hook_left_##n(void *ctx) { return record(ctx, n, call_returns(ctx, n, frame_of(ctx), true)); } \
	SEC("hook") int hook_deny_##n(struct pt_regs *ctx) \
	{                                                                                                               \
		struct scratch *s;                                                                                      \
		int error;                                                                                              \
                                                                                                                        \
		take_denial(ctx);                                                                                       \
		s = SCREENED(on_enter, ctx, n);                                                                         \
		if (!s)                                                                                                 \
			return hooks[n].awaits ? call_passes(n, PT_REGS_SP(ctx)) : 0;                                   \
		error = judge(ctx, n, s);                                                                               \
		if (error)                                                                                              \
			leave_denial(ctx, error);                                                                       \
		return 0;                                                                                               \
	}                                                                                                               \
	SEC("hook") int hook_modify_##n(__u64 *ctx) \
	{                                                                                                               \
		struct scratch *s = SCREENED(on_fentry, ctx, n);                                                             \
                                                                                                                        \
		if (!s)                                                                                                 \
			return hooks[n].awaits ? call_passes(n, frame_of(ctx)) : 0;                                     \
		/* If tasks are preempted, the program after the function finds the scratch in use. */                  \
		s->call.at_once = true;                                                                                 \
		return judge(ctx, n, s);                                                                                \
	}

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
