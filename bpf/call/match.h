/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_CALL_MATCH_H
#define KTRAIL_CALL_MATCH_H

/*
 * The selectors that match a call that call/screen.h leaves: the second half of a call. The record gets its values, the exact filters decide, and
 * each policy that matches sends a record.
 */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "../event.h"
#include "../base/record.h"
#include "../base/path.h"
#include "../frame/filter.h"
#include "../match/set.h"
#include "../match/number.h"
#include "../match/socket.h"
#include "../match/task.h"
#include "../process/start.h"
#include "../args/number.h"
#include "../args/socket.h"
#include "../args/stack.h"
#include "../args/values.h"
#include "../frame/hook.h"
#include "../frame/scratch.h"
#include "identity.h"
#include "aggregate.h"
#include "action.h"
#include "text.h"

/* Filter `i` of a selector, by its key. */
__noinline int filter_matches(__u32 slot, __u32 selector_key, __u32 i)
{
	struct scratch *s = scratch_of(slot);
	struct selector *selector = bpf_map_lookup_elem(&selectors, &selector_key);
	struct text_key *key;
	struct filter *f;
	struct value *v;
	__u32 at;

	if (!s || !selector || i >= FILTERS_MAX)
		return false;
	f = &selector->filters[i];
	if (f->class == CLASS_NAMESPACE || f->class == CLASS_CAPABILITY)
		return task_matches(f);
	if (asks_changes && (f->class == CLASS_NAMESPACE_CHANGE || f->class == CLASS_CAPABILITY_CHANGE))
		return change_matches(selector_key, i) != NOT_SO;
	if (f->class == CLASS_IDENTITY)
		return identity_matches(s, f) != NOT_SO;
	at = s->offset[f->value & (VALUES_MAX - 1)];
	v = value_at(s, at);
	if (!v || v->kind == VALUE_ERROR)
		return false;
	if (f->class == CLASS_NUMBER)
		return number_matches(f, v);
	if (f->class == CLASS_FILE_TYPE)
		return file_type_matches(f, v);
	key = (struct text_key *)(v + 1);
	at += sizeof(*v) + sizeof(*key);
	if (f->class == CLASS_PATH) {
		key = (struct text_key *)((struct file_info *)(v + 1) + 1);
		at += sizeof(struct file_info);
	}
	if (asks_network && f->class == CLASS_SOCKET)
		return socket_matches(f, v);
	return text_matches(f, v, key, s, slot, at);
}

#define LAST_LEFT (2 * SELECTORS_MAX)

/* Takes the first selector out of a set, SELECTORS_MAX if it is empty; with LAST_LEFT if no other is left. */
static __always_inline int take_left(__u64 *left, __u32 words)
{
	__u32 taken = SELECTORS_MAX, w;
	__u64 bits;

	for (w = 0; w < SET_WORDS; w++) {
		if (w >= words)
			break;
		bits = left[w];
		if (!bits)
			continue;
		if (taken != SELECTORS_MAX)
			return taken;
		taken = 64 * w + lowest_bit(bits);
		bits &= bits - 1;
		left[w] = bits;
		if (bits)
			return taken;
	}
	return taken | LAST_LEFT;
}

/* Tests whether the next of `unasked` may match this call, by its conditions on the task and its first filters. */
static __always_inline int ask_selector(__u32 slot)
{
	struct scratch *s = scratch_of(slot);
	const volatile struct hook *hook = &hooks[slot & (HOOK_SLOTS - 1)];
	struct selector *selector;
	__u32 taken, key, i;
	int last;

	if (!s)
		return 1;
	taken = hook->nselectors == 1 ? LAST_LEFT : take_left(s->unasked, hook->words);
	last = taken & LAST_LEFT ? 1 : 0;
	taken &= LAST_LEFT - 1;
	if (taken >= SELECTORS_MAX)
		return 1;
	key = hook->selectors + taken;
	selector = bpf_map_lookup_elem(&selectors, &key);
	if (!selector)
		return last;
	if (selector->conditions != EMPTY_SET && !set_within(selector->conditions, s->conditions))
		return last;
	for (i = 0; i < FILTERS_MAX; i++) {
		if (i >= selector->early)
			break;
		if (!filter_matches(slot, key, i))
			return last;
	}
	s->wanted = 1;
	return 1;
}
LOOP_STEP(ask_selector)

/* Whether all values of the record are needed, which cost more than the selectors' conditions on the task and their first filters. */
static __always_inline bool is_wanted(struct scratch *s, __u32 slot)
{
	const volatile struct hook *hook = &hooks[slot];
	bool seen;
	__u32 w;

	s->wanted = 0;
	if (hook->nselectors == 1) {
		STEP(ask_selector, slot);
		return s->wanted;
	}
	/* The selectors that the path leaves count only if the record's path is surely the same. */
	seen = hook->path.param >= PARAMS_MAX || (s->top.whole && !locks_moved(s->top.locks));
	for (w = 0; w < SET_WORDS; w++)
		s->unasked[w] = seen ? s->left[w] : s->alive[w];
	LOOP(hook->nselectors, ask_selector, slot);
	return s->wanted;
}

/* Carries out a selector that is left, if it matches this call. */
static __always_inline void try_selector(__u32 slot, struct scratch *s, __u32 key, struct selector *selector)
{
	struct event_header *h = (struct event_header *)s->record;
	__u32 count, i, end = s->end;
	struct value *v;
	__u16 returns = 0;
	int acted = 0;
	bool sent;
	__u8 type;

	if (selector->conditions != EMPTY_SET && !set_within(selector->conditions, s->conditions))
		return;
	count = s->decided ? selector->undecided : selector->count;
	for (i = 0; i < FILTERS_MAX; i++) {
		if (i >= count)
			break;
		if (!filter_matches(slot, key, i))
			return;
	}
	s->done = selector->policy_hook;
	if (hooks[slot].actions)
		acted = act(slot, key);
	if (acted & ACT_HIDE) {
		if (asks_changes && selector->changes)
			changes_matched(key);
		return;
	}
	h->nargs = s->written;
	if (BEGINS_AGGREGATE(acted)) {
		v = value_at(s, end);
		if (!v)
			return;
		v->index = AGGREGATE_INDEX;
		v->places = 0;
		end += put_number((char *)v, ARG_U64, s->repeat.key.arguments);
		h->nargs++;
	}
	if (selector->return_type != ARG_NOP) {
		v = value_at(s, end);
		if (!v)
			return;
		returns = s->call.returns;
		type = returns == HOOK_HAS_RETURN ? selector->return_type : ARG_U64;
		v->index = RETURN_INDEX;
		v->places = 0;
		end += put_number((char *)v, type, narrowed(type, s->call.returned));
		h->nargs++;
	}
	h->flags = returns;
	if (acted & ACT_REFUSED)
		h->flags |= HOOK_NOT_ACTED;
	if (BEGINS_AGGREGATE(acted))
		h->flags |= HOOK_AGGREGATES;
	h->selector = selector->index;
	h->hook_id = selector->policy_hook;
	sent = submit(h, end, RECORD_ROOM, COUNTER_RING_FULL_HOOK);
	if (sent) {
		if (returns & HOOK_RETURN_FOLLOWS)
			s->call.awaited = true;
		if (acted & ACT_LIMIT)
			reported_now(s);
		if (asks_changes && selector->changes)
			changes_matched(key);
	}
	if (BEGINS_AGGREGATE(acted))
		aggregate_sent(s, sent);
}

static __always_inline int next_selector(__u32 slot)
{
	struct scratch *s = scratch_of(slot);
	const volatile struct hook *hook = &hooks[slot & (HOOK_SLOTS - 1)];
	struct selector *selector;
	__u32 taken, key;
	int last;

	if (!s)
		return 1;
	taken = take_left(s->left, hook->words);
	last = taken & LAST_LEFT ? 1 : 0;
	taken &= LAST_LEFT - 1;
	if (taken >= SELECTORS_MAX)
		return 1;
	key = hook->selectors + taken;
	selector = bpf_map_lookup_elem(&selectors, &key);
	if (selector && selector->policy_hook != s->done)
		try_selector(slot & (HOOK_SLOTS - 1), s, key, selector);
	return last;
}
LOOP_STEP(next_selector)

static __noinline int hook_record(void *ctx, __u32 slot, struct scratch *s)
{
	const volatile struct hook *hook = &hooks[slot];
	struct selector *selector;
	struct event_header *h;
	__u32 key, w;

	KEEP(hook);
	s->call.unread = false;
	s->call.awaited = false;
	if (hook->denies)
		s->error = 0;
	if (hook->at_return && s->call.returns & HOOK_RETURN_FOLLOWS) {
		s->call.unread = true;
		return 0;
	}
	if (hook->early && put_judged(s, slot) && !is_wanted(s, slot))
		return 0;
	s->decided = false;
	put_values(s, slot);
	/* The page may not have been in memory. The function reads it, so at the return it will be there. */
	if (s->call.unread)
		return 0;
	if (hook->stacks)
		put_stacks(ctx, s, hook->stacks);
	if (!s->decided)
		s->decided = hook->path.param >= PARAMS_MAX || (s->top.whole && !locks_moved(s->top.locks));
	/* A rename or a mount since the screen: it has judged by another path than the record's. */
	if (!s->decided) {
		for (w = 0; w < SET_WORDS; w++)
			s->left[w] = s->alive[w];
	}
	h = (struct event_header *)s->record;
	stamp_at(h, EVENT_HOOK, s->call.time, s->call.thread);
	h->start_ns = start_of(&s->caller, h->tgid);
	/* The screen has left one. */
	if (hook->nselectors == 1) {
		key = hook->selectors;
		selector = bpf_map_lookup_elem(&selectors, &key);
		if (selector)
			try_selector(slot, s, key, selector);
		return 0;
	}
	s->done = 0;
	LOOP(hook->nselectors, next_selector, slot);
	return 0;
}

#endif
