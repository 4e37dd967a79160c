/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_CALL_RETURNS_H
#define KTRAIL_CALL_RETURNS_H

/*
 * Joins the two ends of a call. The records of a call are made at its entry, before paths and the caller's memory can change. Its end has the
 * return value, and user space joins the two. Only this file knows where a call waits (call/waiting.h).
 *
 *   call_begins ─▶ WAITS ── call_entered, no record ──────────────────────────────────▶ gone
 *                    │ └─── call_entered, a text was unread ─▶ UNREAD ── call_returns ─▶ gone; it is judged now
 *                    │
 *                    ├── call_returns, or call_entered of a call that is not made ──▶ its end, with a value ─┐
 *                    └── the next call at this place, or the thread is gone ────────▶ its end, not seen ─────┤
 *                                                                                                          ▼
 *                                         gone ◀─ in the ring ◀──────────────────────────────── has the ring room?
 *                                         gone ◀─ by user space, or the next call ◀─ RETURNED, MISSED ◀──── no
 *
 * An entry that no policy needs runs call_passes: the call before at its place has ended.
 */

#include "../vmlinux/kernel.h"
#include "../event.h"
#include "../base/maps.h"
#include "../base/path.h"
#include "../base/record.h"
#include "../frame/hook.h"
#include "../frame/scratch.h"
#include "screen.h"
#include "waiting.h"

static __always_inline struct join_key join_key(__u32 slot, __u64 sp)
{
	return (struct join_key){ .thread = thread_of(current_task()), .sp = sp, .hook = hooks[slot].id };
}

static __always_inline __u64 number_at(__u32 slot, __u64 sp)
{
	return call_number(sp, hooks[slot].id);
}

/* False when the ring refuses it. */
static __always_inline bool send_return(__u64 thread, __u64 call, __u64 entered, enum hook_flag how, __u64 returned)
{
	struct {
		struct event_header header;
		struct return_body body;
	} *record;
	__u32 zero = 0;
	struct cpu_state *state = bpf_map_lookup_elem(&cpu_state, &zero);
	__u64 seq, flags;

	if (!state)
		return false;
	seq = next_number(&state->seq);
	if (!ring_takes(state, sizeof(*record), COUNTER_RING_FULL_RETURN, &flags))
		return false;
	/* Always of this size: made in the ring. */
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record)
		return refuse(state, COUNTER_RING_FULL_RETURN);
	record->header = (struct event_header){ .size = sizeof(*record), .cpu = bpf_get_smp_processor_id(), .seq = seq, .flags = how };
	stamp_at(&record->header, EVENT_RETURN, entered, thread);
	record->body = (struct return_body){ .call = call, .returned = returned };
	bpf_ringbuf_submit(record, flags);
	return true;
}

/* Ends a call that is in the map. False if the ring is full: then the map keeps the end. */
static __noinline int end_kept(const struct join_key *key, struct join_value *value, enum hook_flag how, __u64 returned)
{
	if (send_return(key->thread, call_number(key->sp, key->hook), value->entered, how, returned))
		return true;
	value->returned = returned;
	value->state = how == HOOK_HAS_RETURN ? JOIN_RETURNED : JOIN_MISSED;
	return false;
}

/* Removes an earlier call of the thread at this stack depth, which never came back. False if the ring has no room for its end. */
static __always_inline bool take_out(const struct join_key *key)
{
	struct join_value *before = bpf_map_lookup_elem(&join, key);

	if (!before)
		return true;
	if (before->state == JOIN_UNREAD)
		count(COUNTER_RETURN_MISSED);
	else if (!end_kept(key, before, before->state == JOIN_RETURNED ? HOOK_HAS_RETURN : HOOK_RETURN_MISSED, before->returned))
		return false;
	join_delete(key);
	return true;
}

/* False without room, or when an earlier call at the same place could not be taken out. */
static __always_inline bool keep(const struct join_key *key, const struct join_value *value)
{
	return join_add(key, value) || (take_out(key) && join_add(key, value));
}

/* If the ring refused an end, keeps it in the map until user space takes it. */
static __noinline int keep_end(__u32 slot, __u64 sp, __u64 entered, enum hook_flag how, __u64 returned)
{
	struct join_key key = join_key(slot, sp);
	struct join_value value = {
		.entered = entered,
		.returned = returned,
		.state = how == HOOK_HAS_RETURN ? JOIN_RETURNED : JOIN_MISSED,
	};

	keep(&key, &value);
	return 0;
}

/* Ends a call that is not in the map. False if the ring is full: then the map keeps the end. */
static __always_inline bool send_end(__u32 slot, __u64 sp, __u64 entered, enum hook_flag how, __u64 returned)
{
	if (send_return(thread_of(current_task()), number_at(slot, sp), entered, how, returned))
		return true;
	keep_end(slot, sp, entered, how, returned);
	return false;
}

/* send_end out of line: inlined, it takes stack that the reading of paths needs. */
static __noinline int end_call(__u32 slot, __u64 sp, __u64 entered, enum hook_flag how, __u64 returned)
{
	return send_end(slot, sp, entered, how, returned);
}

/* Nearly never true for a call that no policy matches. */
static __always_inline bool is_awaited(__u32 slot, __u64 sp)
{
	return is_pending(number_at(slot, sp)) || !join_is_empty();
}

/* Ends an earlier call that waits at this place: the next return is not its own. False if the ring is full: then the map keeps the end. */
static __noinline int end_before(__u32 slot, __u64 sp)
{
	__u64 entered = pending_remove(number_at(slot, sp));
	struct join_key key;

	if (entered)
		return end_call(slot, sp, entered, HOOK_RETURN_MISSED, 0);
	key = join_key(slot, sp);
	return take_out(&key);
}

/* An entry that no policy needs: the kernel reports its return all the same. */
static __always_inline int call_passes(__u32 slot, __u64 sp)
{
	if (is_awaited(slot, sp))
		end_before(slot, sp);
	return 0;
}

static __noinline int keep_entry(__u32 slot, struct scratch *s, enum join_state state)
{
	struct join_key key = join_key(slot, s->call.sp);
	struct join_value value = { .entered = s->call.time, .state = state };

	__builtin_memcpy(value.params, s->call.params, sizeof(value.params));
	if (keep(&key, &value))
		return true;
	count(COUNTER_JOIN_FULL);
	return false;
}

/*
 * Makes a call wait in the map if an earlier call never returned, or if its place in the table is taken. While the map has an earlier end, the
 * table gets no call, because this call's end may need the map's only entry for the place. If the map is full, the call has records but no return.
 */
static __noinline int waits_after(__u32 slot, struct scratch *s)
{
	if (HAS_PENDING && is_awaited(slot, s->call.sp) && end_before(slot, s->call.sp) && pending_add(s->call.returned, s->call.time))
		return 0;
	s->call.returns = keep_entry(slot, s, JOIN_WAITS) ? HOOK_RETURN_FOLLOWS | HOOK_RETURN_KEPT : HOOK_RETURN_MISSED;
	return 0;
}

/* Between the two halves of an entry. `carried`: the kernel carries the call's time to its return (a session). */
static __always_inline void call_begins(__u32 slot, struct scratch *s, bool carried)
{
	s->call.returned = number_at(slot, s->call.sp);
	s->call.returns = carried ? HOOK_RETURN_FOLLOWS : HOOK_RETURN_FOLLOWS | HOOK_RETURN_PENDING;
	if (carried && !join_is_empty())
		end_before(slot, s->call.sp);
	if (!carried && !(join_is_empty() && pending_add(s->call.returned, s->call.time)))
		waits_after(slot, s);
}

/* True: the call has no record, its return decides. */
static __noinline int end_without(__u32 slot, struct scratch *s)
{
	struct join_key key = join_key(slot, s->call.sp);

	if (s->call.returns & HOOK_RETURN_PENDING)
		pending_remove(s->call.returned);
	if (s->call.returns & HOOK_RETURN_KEPT)
		join_delete(&key);
	if (s->call.awaited)
		end_call(slot, s->call.sp, s->call.time, HOOK_HAS_RETURN, (__s64)s->error);
	if (!s->call.unread || keep_entry(slot, s, JOIN_UNREAD))
		return s->call.unread;
	count(COUNTER_RETURN_MISSED);
	return false;
}

/*
 * Returns, after the records of an entry, whether the return is awaited. It is not if the call has no records, or is not made: only some kernels
 * show such a return.
 */
static __always_inline bool call_entered(__u32 slot, struct scratch *s)
{
	return (s->call.awaited && !(hooks[slot].denies && s->error)) || end_without(slot, s);
}

/* Ends a returning call that the map has. Returns the time of its entry if it has no records yet, so that its return decides; else 0. */
static __noinline __u64 taken_back(__u32 slot, __u64 sp, __u64 returned)
{
	struct join_key key = join_key(slot, sp);
	struct join_value *value = bpf_map_lookup_elem(&join, &key);
	struct scratch *s = scratch_of(slot);
	__u64 entered;

	if (!value || !s)
		return 0;
	entered = value->entered;
	if (value->state == JOIN_WAITS && end_kept(&key, value, HOOK_HAS_RETURN, returned)) {
		join_delete(&key);
		return 0;
	}
	if (value->state != JOIN_UNREAD)
		return 0;
	__builtin_memcpy(s->call.params, value->params, sizeof(s->call.params));
	s->call.returned = returned;
	return join_delete(&key) ? entered : 0;
}

/* The policies may be others than at the entry. */
static __noinline struct scratch *may_match_now(__u32 slot, __u64 entered)
{
	struct scratch *s = scratch_of(slot);

	if (!s || !hook_screen(s, slot))
		return 0;
	s->call.returns = HOOK_HAS_RETURN;
	s->call.time = entered;
	return s;
}

/*
 * The scratch of a call that returns and has no records yet, if something may match it; else NULL. Two functions: paths are read on top of the second
 * one's stack. Before 6.9 the verifier counts the stacks of all callers in steps of 32 bytes.
 */
static __always_inline struct scratch *returns_unread(__u32 slot, __u64 sp, __u64 returned)
{
	__u64 entered = taken_back(slot, sp, returned);

	return entered ? may_match_now(slot, entered) : 0;
}

/* The return value of the function whose trampoline the program is in. */
static __always_inline __u64 returned_by(void *ctx)
{
	__u64 returned = 0;

	bpf_get_func_ret(ctx, &returned);
	return returned;
}

/*
 * The scratch of a call that returns and is still to be judged; else NULL. `at`: its place on the stack; `in_trampoline`: the program is in one. The
 * returned value is read only if it is needed.
 */
static __always_inline struct scratch *call_returns(void *ctx, __u32 slot, __u64 at, bool in_trampoline)
{
	__u64 entered = pending_remove(number_at(slot, at));

	if (!entered && join_is_empty())
		return 0;
	if (!entered)
		return returns_unread(slot, at, in_trampoline ? returned_by(ctx) : PT_REGS_RC((struct pt_regs *)ctx));
	end_call(slot, at, entered, HOOK_HAS_RETURN, in_trampoline ? returned_by(ctx) : PT_REGS_RC((struct pt_regs *)ctx));
	return 0;
}

/* As call_returns, with the entry time that the kernel kept; 0: the call is not judged yet. */
static __always_inline struct scratch *carried_returns(__u32 slot, __u64 sp, __u64 carried, __u64 returned)
{
	if (!carried)
		return returns_unread(slot, sp, returned);
	send_end(slot, sp, carried, HOOK_HAS_RETURN, returned);
	return 0;
}

#endif
