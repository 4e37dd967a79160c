// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The one template of every hooked function. A program says how its parameters arrive and which slot of `hooks` it
 * serves; the verifier then specialises what call/screen.h does for that slot. It is never attached: gate.bpf.c calls it.
 */
#include "vmlinux/vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "core_fixes.h"
#include "event.h"

#include "maps.h"
#include "record.h"
#include "path.h"
#include "path_text.h"
#include "filter.h"
#include "match/set.h"
#include "match/number.h"
#include "match/text.h"
#include "match/path.h"
#include "match/identity.h"
#ifdef KTRAIL_FILES
#include "match/above.h"
#endif
#include "match/process.h"
#include "match/evaluate.h"
#include "match/missing.h"
#include "match/task.h"
#include "process/cgroup.h"
#include "match/workload.h"
#include "call/hook.h"
#include "call/join.h"
#include "call/scratch.h"
#include "args/number.h"
#include "args/string.h"
#include "args/file.h"
#include "args/socket.h"
#include "match/socket.h"
#include "call/identity.h"
#include "call/deny.h"
#include "call/screen.h"
#include "call/action.h"
#include "call/match.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Of a system call, the first parameter points to the registers that hold the others. */
static __always_inline void take_syscall(struct call *call, __u32 slot)
{
	__u64 regs = call->params[0];

	if (!hooks[slot].syscall)
		return;
	call->params[0] = SYSCALL_PARM1(regs);
	call->params[1] = SYSCALL_PARM2(regs);
	call->params[2] = SYSCALL_PARM3(regs);
	call->params[3] = SYSCALL_PARM4(regs);
	call->params[4] = SYSCALL_PARM5(regs);
}

static __always_inline void take_registers(struct call *call, __u32 slot, struct pt_regs *ctx)
{
	call->params[0] = PT_REGS_PARM1(ctx);
	call->params[1] = PT_REGS_PARM2(ctx);
	call->params[2] = PT_REGS_PARM3(ctx);
	call->params[3] = PT_REGS_PARM4(ctx);
	call->params[4] = PT_REGS_PARM5(ctx);
	take_syscall(call, slot);
}

/* The scratch of a call that begins. */
static __always_inline struct scratch *begin(__u32 slot)
{
	struct scratch *s = scratch_of(slot);

	if (s)
		s->runs++;
	return s;
}

/*
 * The halves of a call stand beside each other in SLOT, not one in the other: functions that call one another share 512
 * bytes of stack.
 */

/* kprobe, kprobe.multi: no return value asked for. True when something may match. */
static __noinline bool on_entry(struct pt_regs *ctx, __u32 slot)
{
	struct scratch *s = begin(slot);

	if (!s)
		return 0;
	take_registers(&s->call, slot, ctx);
	return hook_screen(s, slot);
}

/* fexit: parameters and return value in one place. True when something may match. */
static __noinline bool on_exit(void *ctx, __u32 slot)
{
	const volatile struct hook *hook = &hooks[slot];
	struct scratch *s = begin(slot);
	__u32 i;

	if (!s)
		return 0;
	for (i = 0; i < PARAMS_MAX; i++) {
		if (i >= hook->nparams)
			break;
		bpf_get_func_arg(ctx, i, &s->call.params[i]);
	}
	take_syscall(&s->call, slot);
	bpf_get_func_ret(ctx, &s->call.returned);
	s->call.returns = HOOK_HAS_RETURN;
	return hook_screen(s, slot);
}

/* The entry of a call whose return is joined. True when something may match. */
static __noinline bool enter(struct pt_regs *ctx, __u32 slot, __u64 sp)
{
	struct scratch *s = begin(slot);

	if (!s)
		return 0;
	take_registers(&s->call, slot, ctx);
	s->call.sp = sp;
	return hook_screen(s, slot);
}

/* The programs before and after one call have the same context, in the frame of its trampoline. As a number to the verifier. */
static __always_inline __u64 frame_of(void *ctx)
{
	__u64 pointer = (__u64)ctx, number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), &pointer);
	return number;
}

#define TAKE_PARAM(i) \
	if (i < hook->nparams) \
		raw[i] = ctx[i];

/* fmod_ret: parameters, before the function. True when something may match. Without a helper: it is in 5.10 too. */
static __noinline bool on_modify(__u64 *ctx, __u32 slot)
{
	const volatile struct hook *hook = &hooks[slot];
	struct scratch *s = begin(slot);
	__u64 raw[PARAMS_MAX] = {};

	if (!s)
		return 0;
	TAKE_PARAM(0)
	TAKE_PARAM(1)
	TAKE_PARAM(2)
	TAKE_PARAM(3)
	TAKE_PARAM(4)
	take_params(&s->call, slot, raw);
	s->call.sp = frame_of(ctx);
	/* Where tasks are preempted, the program after the function finds the scratch in use. */
	s->call.at_once = true;
	return hook_screen(s, slot);
}

static __always_inline struct join_key join_key(__u32 slot, __u64 sp)
{
	return (struct join_key){ .thread = bpf_get_current_pid_tgid(), .sp = sp, .hook = hooks[slot].id };
}

/* The same thread at the same depth of its stack: the call before never came back to us. False when that cannot be told now. */
static __always_inline bool take_out(const struct join_key *key)
{
	struct join_value *before = bpf_map_lookup_elem(&join, key);
	bool returned;

	if (!before)
		return false;
	if (before->state == JOIN_UNREAD) {
		count(COUNTER_RETURN_MISSED);
	} else {
		returned = before->state == JOIN_RETURNED;
		if (!send_return(key, before->entered_ns, returned ? HOOK_HAS_RETURN : HOOK_RETURN_MISSED, before->returned)) {
			if (!returned)
				before->state = JOIN_MISSED;
			return false;
		}
	}
	return true;
}

/*
 * An entry that is not wanted: the return, which the kernel tells us all the same, is not that of a call before. A session
 * has no return after such an entry.
 */
static __noinline int not_awaited(__u32 slot, __u64 sp)
{
	struct join_key key;

	if (no_call_waits())
		return 0;
	key = join_key(slot, sp);
	if (take_out(&key))
		join_delete(&key);
	return 0;
}

/* Between the two halves of an entry. Without room the call has its records, but no return. */
static __noinline int await_return(__u32 slot)
{
	struct scratch *s = scratch_of(slot);
	struct join_value value = {};
	struct join_key key;

	if (!s)
		return 0;
	key = join_key(slot, s->call.sp);
	__builtin_memcpy(value.params, s->call.params, sizeof(value.params));
	value.entered_ns = s->call.time_ns;
	s->call.returns = HOOK_RETURN_FOLLOWS;
	s->call.returned = call_number(&key);
	if (bpf_map_update_elem(&join, &key, &value, BPF_NOEXIST) == 0) {
		join_changed(1);
		return 0;
	}
	if (take_out(&key) && bpf_map_update_elem(&join, &key, &value, BPF_EXIST) == 0)
		return 0;
	count(COUNTER_JOIN_FULL);
	s->call.returns = HOOK_RETURN_MISSED;
	return 0;
}

static __always_inline void returned_now(const struct join_key *key, struct join_value *value, __u64 returned)
{
	if (send_return(key, value->entered_ns, HOOK_HAS_RETURN, returned)) {
		join_delete(key);
	} else {
		value->returned = returned;
		value->state = JOIN_RETURNED;
	}
}

/* After the records of an entry: 0 when its return is wanted. */
static __noinline int entered(__u32 slot)
{
	struct scratch *s = scratch_of(slot);
	struct join_value *value;
	struct join_key key;

	if (!s || s->call.returns != HOOK_RETURN_FOLLOWS)
		return 1;
	if (s->call.awaited && !(hooks[slot].denies && s->error))
		return 0;
	key = join_key(slot, s->call.sp);
	if (!s->call.awaited && !s->call.unread) {
		join_delete(&key);
		return 1;
	}
	value = bpf_map_lookup_elem(&join, &key);
	/* It is not made, so not every kernel shows its return. */
	if (s->call.awaited) {
		if (value)
			returned_now(&key, value, (__s64)s->error);
		return 1;
	}
	if (value)
		value->state = JOIN_UNREAD;
	return 0;
}

/* True when the call has no records yet and something may match. */
static __noinline bool leave(__u32 slot, __u64 sp, __u64 returned)
{
	struct join_value *value;
	struct join_key key;
	struct scratch *s;
	__u64 entered_ns;

	if (no_call_waits())
		return 0;
	key = join_key(slot, sp);
	value = bpf_map_lookup_elem(&join, &key);
	s = scratch_of(slot);
	if (!value || !s)
		return 0;
	entered_ns = value->entered_ns;
	if (value->state == JOIN_WAITS) {
		returned_now(&key, value, returned);
		return 0;
	}
	if (value->state != JOIN_UNREAD)
		return 0;
	__builtin_memcpy(s->call.params, value->params, sizeof(s->call.params));
	s->call.returned = returned;
	if (!join_delete(&key))
		return 0;
	/* The policies may be others by now. */
	if (!hook_screen(s, slot))
		return 0;
	s->call.returns = HOOK_HAS_RETURN;
	s->call.time_ns = entered_ns;
	return 1;
}

static __noinline __u64 place_of_call(__u32 slot)
{
	struct scratch *s = scratch_of(slot);

	return s ? s->call.sp : 0;
}

static __noinline int error_of_call(__u32 slot)
{
	struct scratch *s = scratch_of(slot);

	return s ? s->error : 0;
}

/* An entry of a call that a policy may have fail: what it is to give without being made; 0: it is made. */
static __always_inline int judge(__u32 slot, bool may_match)
{
	if (!may_match) {
		if (hooks[slot].awaits)
			not_awaited(slot, place_of_call(slot));
		return 0;
	}
	if (hooks[slot].awaits)
		await_return(slot);
	hook_record(slot);
	if (hooks[slot].awaits)
		entered(slot);
	return error_of_call(slot);
}

#define RECORD_ENTRY 2
#define RECORD_RETURN 3

#ifdef SESSION_COOKIE
/* One program for both ends; an entry that answers 1 has no return. */
static __noinline int on_session(struct pt_regs *ctx, __u32 slot)
{
	__u64 *cookie = SESSION_COOKIE(ctx);

	if (SESSION_IS_RETURN(ctx))
		return leave(slot, *cookie, PT_REGS_RC(ctx)) ? RECORD_RETURN : 0;
	*cookie = PT_REGS_SP(ctx);
	return enter(ctx, slot, *cookie) ? RECORD_ENTRY : 1;
}

#define SESSION(n)                                                                                             \
	SEC("kprobe") int hook_session_##n(struct pt_regs *ctx)                                                \
	{                                                                                                      \
		int next = on_session(ctx, n);                                                                 \
                                                                                                               \
		if (next < RECORD_ENTRY)                                                                       \
			return next;                                                                           \
		if (next == RECORD_ENTRY)                                                                      \
			await_return(n);                                                                       \
		hook_record(n);                                                                                \
		return next == RECORD_ENTRY ? entered(n) : 0;                                                  \
	}
#else
#define SESSION(n)
#endif

#define SLOT(n)                                                                                                \
	SEC("kprobe") int hook_entry_##n(struct pt_regs *ctx) { return on_entry(ctx, n) ? hook_record(n) : 0; } \
	SEC("fexit") int hook_fexit_##n(void *ctx) { return on_exit(ctx, n) ? hook_record(n) : 0; }             \
	SESSION(n)                                                                                             \
	SEC("kprobe") int hook_enter_##n(struct pt_regs *ctx)                                                  \
	{                                                                                                      \
		if (!enter(ctx, n, PT_REGS_SP(ctx)))                                                           \
			return not_awaited(n, PT_REGS_SP(ctx));                                                \
		await_return(n);                                                                               \
		hook_record(n);                                                                                \
		entered(n);                                                                                    \
		return 0;                                                                                      \
	}                                                                                                      \
	SEC("kretprobe") int hook_leave_##n(struct pt_regs *ctx)                                               \
	{                                                                                                      \
		return leave(n, JOINED_SP(ctx), PT_REGS_RC(ctx)) ? hook_record(n) : 0;                         \
	}                                                                                                      \
	SEC("kprobe") int hook_deny_##n(struct pt_regs *ctx)                                                   \
	{                                                                                                      \
		int error = judge(n, enter(ctx, n, PT_REGS_SP(ctx)));                                          \
                                                                                                               \
		if (error)                                                                                     \
			leave_denial(ctx, error);                                                              \
		return 0;                                                                                      \
	}                                                                                                      \
	SEC("fmod_ret") int hook_modify_##n(__u64 *ctx) { return judge(n, on_modify(ctx, n)); }                \
	SEC("fexit") int hook_modified_##n(void *ctx)                                                          \
	{                                                                                                      \
		__u64 returned = 0;                                                                            \
                                                                                                               \
		bpf_get_func_ret(ctx, &returned);                                                              \
		leave(n, frame_of(ctx), returned);                                                             \
		return 0;                                                                                      \
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
