/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_CALL_AGGREGATE_H
#define KTRAIL_CALL_AGGREGATE_H

/*
 * Equal calls of a process that have one record: that of the first. The others are counted here, until user space takes the
 * count (aggregate.bpf.c) and sends the event with it.
 *
 * The count is exact although calls continue. A call that finds the count taken has a record of its own. The taker of the count
 * waits until the calls that were counted before have added their bytes (`done`). Nothing is counted before the record of the
 * first is in the ring, so a refused record loses one call.
 */

#include "../vmlinux/kernel.h"
#include "../event.h"
#include "../base/maps.h"
#include "../base/record.h"
#include "../frame/filter.h"
#include "../frame/aggregate.h"
#include "../frame/scratch.h"
#include "../args/number.h"
#include "../args/hash.h"

#define EEXIST 17 /* include/uapi/asm-generic/errno-base.h */

#ifdef KTRAIL_BOUNDED
/* Before 5.12 an atomic addition does not return the earlier value. User space refuses such policies. */
static __always_inline int aggregate_call(__u32 slot, __u32 selector_key) { return CALL_ALONE; }
static __always_inline void aggregate_sent(struct scratch *s, bool sent) { }
/* In a loop, its verifier does not know a function's constants. */
#define BEGINS_AGGREGATE(acted) false
#else
#define BEGINS_AGGREGATE(acted) ((acted) & ACT_AGGREGATE)

/* False when the count was taken, or the record of the first call is not in the ring yet. */
static __always_inline bool count_call(struct aggregate *a, struct scratch *s, __u64 bytes)
{
	__u64 now = ns_of(s->call.time);

	if (!a->sent)
		return false;
	if (__sync_fetch_and_add(&a->count, 1) & AGGREGATE_TAKEN)
		return false;
	__sync_fetch_and_add(&a->total_bytes, bytes);
	/* If two calls are counted at once, the later one may have been here already. */
	if ((__s64)(now - a->last_ns) > 0)
		a->last_ns = now;
	/* The result is used, because BPF_FETCH orders this addition after the others. */
	return __sync_fetch_and_add(&a->done, 1) < AGGREGATE_TAKEN;
}

/* Counts a call that a selector matches, or puts the key of its first into the scratch. Answers enum aggregated. */
__noinline int aggregate_call(__u32 slot, __u32 selector_key)
{
	struct selector *selector = bpf_map_lookup_elem(&selectors, &selector_key);
	struct scratch *s = scratch_of(slot);
	struct aggregate *found, *first;
	struct event_header *h;
	__s64 returned = 0;
	long error;

	if (!s || !selector)
		return CALL_ALONE;
	if (selector->return_type != ARG_NOP) {
		if (s->call.returns != HOOK_HAS_RETURN)
			return CALL_ALONE;
		returned = narrowed(selector->return_type, s->call.returned);
	}
	h = (struct event_header *)s->record;
	first = &s->repeat.first;
	__builtin_memset(first, 0, sizeof(*first));
	first->count = first->done = 1;
	s->repeat.key.policy_hook = selector->policy_hook;
	s->repeat.key.caller = bpf_get_current_pid_tgid() >> 32;
	/* The image and its user: an exec makes another process of the pid. */
	s->repeat.key.arguments = hashed(hashed(0, h->start_ns), h->uid);
	if (selector->action.aggregate & AGGREGATE_ERRORS)
		s->repeat.key.arguments = hashed(s->repeat.key.arguments, returned < 0 ? returned : 0);
	hash_values(slot, selector->action.values);
	hash_files(slot, selector->action.values);
	if (selector->action.aggregate & AGGREGATE_BYTES && returned > 0)
		first->total_bytes = returned;
	found = bpf_map_lookup_elem(&aggregates, &s->repeat.key);
	if (found)
		return count_call(found, s, first->total_bytes) ? CALL_COUNTED : CALL_ALONE;
	first->last_ns = ns_of(s->call.time);
	error = bpf_map_update_elem(&aggregates, &s->repeat.key, first, BPF_NOEXIST);
	if (!error)
		return CALL_BEGINS;
	if (error != -EEXIST)
		count(COUNTER_AGGREGATES_FULL);
	return CALL_ALONE;
}

/* Whether the ring has taken the record of the first call. */
static __always_inline void aggregate_sent(struct scratch *s, bool sent)
{
	struct aggregate *begun = bpf_map_lookup_elem(&aggregates, &s->repeat.key);

	if (begun && sent)
		begun->sent = 1;
	else if (begun)
		bpf_map_delete_elem(&aggregates, &s->repeat.key);
}
#endif

#endif
