/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_JOINED_H
#define KTRAIL_JOINED_H

/* The two ends of a call that different programs see, and the data that `pending` and `join` (call/join.h) have of it in between. */

#include "../vmlinux/kernel.h"
#include "../event.h"
#include "../maps.h"
#include "../path.h"
#include "hook.h"
#include "join.h"
#include "scratch.h"
#include "screen.h"

static __always_inline struct join_key join_key(__u32 slot, __u64 sp)
{
	return (struct join_key){ .thread = thread_of(current_task()), .sp = sp, .hook = hooks[slot].id };
}

static __always_inline __u64 number_at(__u32 slot, __u64 sp)
{
	return call_number(sp, hooks[slot].id);
}

/* The end of a call that is in the map. */
static __always_inline bool send_kept(const struct join_key *key, __u64 entered, enum hook_flag how, __u64 returned)
{
	return send_return(key->thread, call_number(key->sp, key->hook), entered, how, returned);
}

/*
 * The same thread at the same depth of its stack: the call before never came back to us. 1: the ring has its end now, 0: there is no such call, -1: the
 * ring has no room for it.
 */
static __always_inline int take_out(const struct join_key *key)
{
	struct join_value *before = bpf_map_lookup_elem(&join, key);
	bool returned;

	if (!before)
		return 0;
	if (before->state == JOIN_UNREAD) {
		count(COUNTER_RETURN_MISSED);
	} else {
		returned = before->state == JOIN_RETURNED;
		if (!send_kept(key, before->entered, returned ? HOOK_HAS_RETURN : HOOK_RETURN_MISSED, before->returned)) {
			if (!returned)
				before->state = JOIN_MISSED;
			return -1;
		}
	}
	return 1;
}

/* False without room, or when an earlier call at the same place could not be taken out. */
static __always_inline bool keep_call(const struct join_key *key, const struct join_value *value)
{
	if (join_add(key, value))
		return true;
	return take_out(key) > 0 && bpf_map_update_elem(&join, key, value, BPF_EXIST) == 0;
}

/* An end that the ring has no room for: the map has it until user space takes it. */
static __noinline int keep_end(__u32 slot, __u64 sp, __u64 entered, enum hook_flag how, __u64 returned)
{
	struct join_key key = join_key(slot, sp);
	struct join_value value = {
		.entered = entered,
		.returned = returned,
		.state = how == HOOK_HAS_RETURN ? JOIN_RETURNED : JOIN_MISSED,
	};

	keep_call(&key, &value);
	return 0;
}

/* Reports the end of a call that is not in the map. False if the ring has no room: the map has it then. */
static __always_inline bool tell_return(__u32 slot, __u64 sp, __u64 entered, enum hook_flag how, __u64 returned)
{
	if (send_return(thread_of(current_task()), number_at(slot, sp), entered, how, returned))
		return true;
	keep_end(slot, sp, entered, how, returned);
	return false;
}

/* The return of a call that is in the table. A function: else paths, which other returns read, would have less of the stack. */
static __noinline int returned_after(__u32 slot, __u64 sp, __u64 entered, __u64 returned)
{
	tell_return(slot, sp, entered, HOOK_HAS_RETURN, returned);
	return 0;
}

/* A call that has no records, because a text could not be read: its return decides. */
static __always_inline bool keep_unread(const struct join_key *key, struct scratch *s)
{
	struct join_value value = { .entered = s->call.time, .state = JOIN_UNREAD };

	__builtin_memcpy(value.params, s->call.params, sizeof(value.params));
	if (keep_call(key, &value))
		return true;
	count(COUNTER_JOIN_FULL);
	count(COUNTER_RETURN_MISSED);
	return false;
}

/* Nearly never true for a call that no policy matches. */
static __always_inline bool is_awaited(__u32 slot, __u64 sp)
{
	return is_pending(number_at(slot, sp)) || !join_is_empty();
}

/* While calls wait: the return that follows is not that of a call before. False when that cannot be told now: then the map has the call before. */
static __noinline bool end_before(__u32 slot, __u64 sp)
{
	__u64 entered = pending_remove(number_at(slot, sp));
	struct join_key key;
	int told;

	if (entered)
		return tell_return(slot, sp, entered, HOOK_RETURN_MISSED, 0);
	key = join_key(slot, sp);
	told = take_out(&key);
	if (told > 0)
		join_delete(&key);
	return told >= 0;
}

/* Also for an entry that no policy needs: the kernel reports its return all the same. */
static __always_inline int not_awaited(__u32 slot, __u64 sp)
{
	end_before(slot, sp);
	return 0;
}

static __always_inline bool await_in_table(struct scratch *s)
{
	s->call.returns = HOOK_RETURN_FOLLOWS | HOOK_RETURN_PENDING;
	return pending_add(s->call.returned, s->call.time);
}

/*
 * Where calls may wait that never came back, or the place in the table is taken. Not while the map has the end of the call before: it has one entry
 * for both, and this one's end may need it.
 */
static __noinline bool await_after(__u32 slot, struct scratch *s)
{
	return is_awaited(slot, s->call.sp) && end_before(slot, s->call.sp) && await_in_table(s);
}

/* Without room the call has its records, but no return. */
static __noinline int await_in_map(__u32 slot, struct scratch *s)
{
	struct join_key key = join_key(slot, s->call.sp);
	struct join_value value = {};

	__builtin_memcpy(value.params, s->call.params, sizeof(value.params));
	value.entered = s->call.time;
	s->call.returns = HOOK_RETURN_FOLLOWS | HOOK_RETURN_KEPT;
	if (keep_call(&key, &value))
		return 0;
	count(COUNTER_JOIN_FULL);
	s->call.returns = HOOK_RETURN_MISSED;
	return 0;
}

/* Between the two halves of an entry. */
static __always_inline void await_return(__u32 slot, struct scratch *s)
{
	s->call.returned = number_at(slot, s->call.sp);
	if (join_is_empty() && await_in_table(s))
		return;
	if (!HAS_PENDING || !await_after(slot, s))
		await_in_map(slot, s);
}

static __always_inline void returned_now(const struct join_key *key, struct join_value *value, __u64 returned)
{
	if (send_kept(key, value->entered, HOOK_HAS_RETURN, returned)) {
		join_delete(key);
	} else {
		value->returned = returned;
		value->state = JOIN_RETURNED;
	}
}

/* After an entry whose return is not to be waited for: it has no records, or the call is not made, whose return not every kernel shows. */
static __noinline int end_waiting(__u32 slot, struct scratch *s)
{
	struct join_value *value;
	struct join_key key;

	if (!(s->call.returns & HOOK_RETURN_FOLLOWS))
		return 0;
	key = join_key(slot, s->call.sp);
	if (pending_remove(s->call.returned)) {
		if (s->call.awaited)
			tell_return(slot, s->call.sp, s->call.time, HOOK_HAS_RETURN, (__s64)s->error);
		else if (s->call.unread)
			keep_unread(&key, s);
		return 0;
	}
	if (!s->call.awaited && !s->call.unread) {
		join_delete(&key);
		return 0;
	}
	value = bpf_map_lookup_elem(&join, &key);
	if (!value)
		return 0;
	if (s->call.awaited)
		returned_now(&key, value, (__s64)s->error);
	else
		value->state = JOIN_UNREAD;
	return 0;
}

/* After the records of an entry. */
static __always_inline void entered(__u32 slot, struct scratch *s)
{
	if (!s->call.awaited || (hooks[slot].denies && s->error))
		end_waiting(slot, s);
}

/* While the map has calls: one that returns waits no more. The time of its entry when it has no records yet, so that its return decides; else 0. */
static __noinline __u64 taken_back(__u32 slot, __u64 sp, __u64 returned)
{
	struct join_key key = join_key(slot, sp);
	struct join_value *value = bpf_map_lookup_elem(&join, &key);
	struct scratch *s = scratch_of(slot);
	__u64 entered;

	if (!value || !s)
		return 0;
	entered = value->entered;
	if (value->state == JOIN_WAITS) {
		returned_now(&key, value, returned);
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
 * While the map has calls: the scratch of one that returns and has no records yet, if something may match it; else NULL. Two functions: paths are read
 * on top of the second one's stack. Before 6.9 the verifier counts the stacks of all callers in steps of 32 bytes.
 */
static __always_inline struct scratch *leave(__u32 slot, __u64 sp, __u64 returned)
{
	__u64 entered = taken_back(slot, sp, returned);

	return entered ? may_match_now(slot, entered) : 0;
}

#endif
