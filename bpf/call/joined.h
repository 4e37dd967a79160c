/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_JOINED_H
#define KTRAIL_JOINED_H

/* The two ends of a call that are seen by different programs, and what the map `join` (call/join.h) has of it in between. */

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

/* False without room, or when an earlier call at the same place could not be taken out. */
static __always_inline bool keep_call(const struct join_key *key, const struct join_value *value)
{
	if (join_add(key, value))
		return true;
	return take_out(key) && bpf_map_update_elem(&join, key, value, BPF_EXIST) == 0;
}

/*
 * While calls wait: the return that follows is not that of a call before. So for an entry that is not wanted: the kernel tells us its return
 * all the same.
 */
static __noinline int not_awaited(__u32 slot, __u64 sp)
{
	struct join_key key = join_key(slot, sp);

	if (take_out(&key))
		join_delete(&key);
	return 0;
}

/* Between the two halves of an entry. Without room the call has its records, but no return. */
static __noinline int await_return(__u32 slot, struct scratch *s)
{
	struct join_value value = {};
	struct join_key key = join_key(slot, s->call.sp);

	__builtin_memcpy(value.params, s->call.params, sizeof(value.params));
	value.entered_ns = s->call.time_ns;
	s->call.returns = HOOK_RETURN_FOLLOWS | HOOK_RETURN_KEPT;
	s->call.returned = call_number(&key);
	if (keep_call(&key, &value))
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

/* After the records of an entry. */
static __noinline int entered(__u32 slot, struct scratch *s)
{
	struct join_value *value;
	struct join_key key;

	if (!(s->call.returns & HOOK_RETURN_FOLLOWS))
		return 0;
	if (s->call.awaited && !(hooks[slot].denies && s->error))
		return 0;
	key = join_key(slot, s->call.sp);
	if (!s->call.awaited && !s->call.unread) {
		join_delete(&key);
		return 0;
	}
	value = bpf_map_lookup_elem(&join, &key);
	if (!value)
		return 0;
	/* With a record it is one that is not made, so not every kernel shows its return. */
	if (s->call.awaited)
		returned_now(&key, value, (__s64)s->error);
	else
		value->state = JOIN_UNREAD;
	return 0;
}

/* While calls wait: one that returns leaves the map. The time of its entry when it has no records yet, so that its return decides; else 0. */
static __noinline __u64 taken_back(__u32 slot, __u64 sp, __u64 returned)
{
	struct join_key key = join_key(slot, sp);
	struct join_value *value;
	struct scratch *s;
	__u64 entered_ns;

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
	return join_delete(&key) ? entered_ns : 0;
}

/* The policies may be others than at the entry. */
static __noinline struct scratch *may_match_now(__u32 slot, __u64 entered_ns)
{
	struct scratch *s = scratch_of(slot);

	if (!s || !hook_screen(s, slot))
		return 0;
	s->call.returns = HOOK_HAS_RETURN;
	s->call.time_ns = entered_ns;
	return s;
}

/*
 * While calls wait: the scratch of one that returns and has no records yet, if something may match it; else NULL. Two functions: on top of the second
 * one's stack paths are read, and before 6.2 the verifier counts the stacks of all callers in steps of 32 bytes.
 */
static __always_inline struct scratch *leave(__u32 slot, __u64 sp, __u64 returned)
{
	__u64 entered_ns = taken_back(slot, sp, returned);

	return entered_ns ? may_match_now(slot, entered_ns) : 0;
}

#endif
