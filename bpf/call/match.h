/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_MATCH_H
#define KTRAIL_MATCH_H

/*
 * The second half of a call of a hooked function, after call/screen.h: names, then the exact filters of each selector that is
 * left, and a record for each policy that matches.
 */

#include "../vmlinux/kernel.h"
#include "../core_fixes.h"
#include "../event.h"
#include "../record.h"
#include "../path.h"
#include "../filter.h"
#include "../match/set.h"
#include "../match/number.h"
#include "../match/text.h"
#include "../process/start.h"
#include "../match/task.h"
#include "hook.h"
#include "scratch.h"
#include "../args/number.h"
#include "../args/place.h"
#include "../args/string.h"
#include "../args/bytes.h"
#include "../args/details.h"
#include "../args/file.h"
#include "../args/socket.h"
#include "../args/unix.h"
#include "../args/stack.h"
#include "../match/socket.h"
#include "identity.h"
#include "aggregate.h"
#include "action.h"

/* Whether an argument is more than its register. */
static __always_inline bool is_read(__u8 type)
{
	return type < ARG_S8 || type > ARG_U64;
}

/* Whether value `i` of a function is the path that the screen looks at. */
static __always_inline bool is_screened(const volatile struct hook *hook, __u32 i)
{
	return i == 0 && hook->path.param < PARAMS_MAX;
}

/* Writes value `i` of the function, which is_read, at an offset of the record; returns the bytes used. Global, as add_open. */
__noinline int put_text(__u32 slot, __u32 i, __u32 at)
{
	struct scratch *s = scratch_of(slot);
	const volatile struct hook *hook = &hooks[slot & (HOOK_SLOTS - 1)];
	const volatile struct wanted_value *wanted = &hook->values[i & (VALUES_MAX - 1)];
	__u32 param = wanted->param;
	__u8 type = wanted->type;
	struct value *v;
	__u64 argument;
	__u32 used;
	int failed;

	if (!s || param > (asks_members ? PARAM_TASK : PARAMS_MAX - 1))
		return 0;
	v = value_at(s, at);
	if (!v)
		return 0;
	argument = param < PARAMS_MAX ? s->call.params[param] : bpf_get_current_task();
	v->index = wanted->index;
	v->places = wanted->places;
	v->flags = 0;
	if (asks_bytes && is_bytes(type))
		return put_bytes(slot, s, wanted, v, at, argument);
	if (asks_members && type == ARG_OBJECT)
		return put_object(slot, s, wanted, v, at, argument);
	if (asks_members && wanted->places) {
		s->walked = argument;
		failed = follow(slot, wanted->place);
		if (failed) {
			v->kind = VALUE_ERROR;
			v->len = 0;
			v->flags = failed;
			return sizeof(*v);
		}
		argument = s->walked;
		if (!is_read(type))
			return put_number((char *)v, type, narrowed(type, argument));
	}
	if (is_file(type))
		return put_file(slot, (char *)v, type, argument, is_screened(hook, i), s);
	if (asks_network && type >= ARG_SOCK && type <= ARG_SOCKADDR)
		return put_socket(v, type, argument);
	if (asks_network && type == ARG_NET_DEVICE && argument)
		argument = MEMBER(net_device, argument, name);
	if (type == ARG_FILENAME && argument)
		argument = (__u64)LOAD(filename, argument, name);
	if (asks_network > 1 && type == ARG_SOCKADDR_UN)
		used = put_unix_address((char *)v, argument, wanted->size < PARAMS_MAX ? s->call.params[wanted->size] : ~0u);
	else
		used = put_string((char *)v, argument);
	if (v->kind == VALUE_ERROR && s->call.returns & HOOK_RETURN_FOLLOWS && !s->call.at_once)
		s->call.unread = true;
	return used;
}

/* Adds to value `i`, a file at an offset of the record, what else is asked of it; returns the bytes used. */
static __always_inline __u32 add_details(__u32 slot, struct scratch *s, __u32 i, __u32 at, __u32 used)
{
	struct value *v = value_at(s, at);

	if (!v || v->kind != VALUE_FILE)
		return 0;
	v->flags |= VALUE_DETAILS;
	at += used;
	used = put_details(slot, at);
	put_names(slot, i, at);
	return used;
}

/* All that the policies on the function ask for. */
static __always_inline void put_values(struct scratch *s, __u32 slot)
{
	const volatile struct hook *hook = &hooks[slot];
	__u32 at = sizeof(struct event_header), used, i;
	struct value *v;

	KEEP(hook);
	/* The verifier then removes of each round what its value does not need. */
#pragma unroll
	for (i = 0; i < VALUES_MAX; i++) {
		const volatile struct wanted_value *wanted = &hook->values[i];
		__u32 param = wanted->param, places = wanted->places;
		__u8 type = wanted->type;

		if (i >= hook->nvalues)
			break;
		if (is_read(type) || places) {
			used = is_screened(hook, i) ? put_screened(s, wanted, at) : 0;
			if (!used)
				used = put_text(slot, i, at);
			if (!used)
				break;
			if (asks_details && wanted->shown)
				used += add_details(slot, s, i, at, used);
		} else {
			v = value_at(s, at);
			if (!v || param >= PARAMS_MAX)
				break;
			v->index = wanted->index;
			v->places = 0;
			used = put_number((char *)v, type, narrowed(type, s->call.params[param]));
		}
		s->offset[i] = at;
		at += used;
	}
	s->written = i;
	s->end = at;
}

#define TEXT_PARTS ((TEXT_MAX + TEXT_KEY_BYTES - 1) / TEXT_KEY_BYTES)

/*
 * The length of the longest value that begins the text at an offset of the record, among those whose first part does; 0 when
 * there is none. Global, as add_open.
 */
__noinline int longest_value(__u32 slot, __u32 text, __u32 len, __u32 next)
{
	struct scratch *s = scratch_of(slot);
	struct text_value *stored;
	__u32 longest = 0, i, from, rest;

	if (!s)
		return 0;
	for (i = 1; i < TEXT_PARTS; i++) {
		from = TEXT_KEY_BYTES * i;
		if (from >= len)
			break;
		rest = len - from;
		if (rest > TEXT_KEY_BYTES)
			rest = TEXT_KEY_BYTES;
		from += text;
		barrier_var(from);
		if (from > sizeof(s->record) - TEXT_KEY_BYTES)
			break;
		s->part.bits = 8 * (sizeof(s->part.filter) + rest);
		s->part.filter = next;
		/* All of it: what is behind the text does not count. */
		bpf_probe_read_kernel(s->part.text, TEXT_KEY_BYTES, s->record + from);
		stored = bpf_map_lookup_elem(&texts, &s->part);
		if (!stored)
			break;
		if (stored->len)
			longest = stored->len;
		next = stored->next;
		if (!next)
			break;
	}
	return longest;
}

/* Some bytes of a search; answers 1 at its end. */
static __always_inline int search_round(__u32 slot)
{
	struct scratch *s = scratch_of(slot);
	struct automaton_row *row;
	__u32 state, at, left, i;

	if (!s)
		return 1;
	state = s->search.state;
	at = s->search.at;
	left = s->search.left;
#pragma nounroll
	for (i = 0; i < AUTOMATON_ROUND; i++) {
		if (!left)
			break;
		barrier_var(at);
		if (at >= sizeof(s->record))
			return 1;
		row = bpf_map_lookup_elem(&automata, &state);
		if (!row)
			return 1;
		state = row->next[(__u8)s->record[at]];
		if (state == AUTOMATON_FOUND)
			break;
		at++;
		left--;
	}
	s->search.state = state;
	s->search.at = at;
	s->search.left = left;
	return !left || state == AUTOMATON_FOUND;
}
LOOP_STEP(search_round)

/* Whether the text at an offset of the record contains a value of a filter. Global, as add_open. */
__noinline int text_contains(__u32 slot, __u32 text, __u32 len, __u32 state)
{
	struct scratch *s = scratch_of(slot);

	if (!s)
		return 0;
	s->search.state = state;
	s->search.at = text;
	s->search.left = len;
	LOOP(TEXT_MAX / AUTOMATON_ROUND + 1, search_round, slot);
	return s->search.state == AUTOMATON_FOUND;
}

/* Filter `i` of a selector, by its key. Global, as add_open. */
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
	return text_matches(f, v, key, &s->reversed, slot, at);
}

#define LAST_LEFT (2 * SELECTORS_MAX)

/* Takes the first selector out of a set, SELECTORS_MAX when there is none; with LAST_LEFT when no other is left. */
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

static __always_inline bool is_about_task(const struct filter *f)
{
	return f->class == CLASS_NAMESPACE || f->class == CLASS_CAPABILITY || f->class == CLASS_NAMESPACE_CHANGE ||
	       f->class == CLASS_CAPABILITY_CHANGE;
}

/* Asks the next of `unasked` whether it may want this call, by all that it asks of the task. Its filters on the task stand first. */
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
		if (i >= selector->count || !is_about_task(&selector->filters[i]))
			break;
		if (!filter_matches(slot, key, i))
			return last;
	}
	s->wanted = 1;
	return 1;
}
LOOP_STEP(ask_selector)

/* Whether the record's values are needed, which are dearer than what selectors ask of the task. */
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
	/* What the path leaves counts only if the record's is sure to be the same. */
	seen = hook->path.param >= PARAMS_MAX || (s->top.whole && !locks_moved(s->top.locks));
	for (w = 0; w < SET_WORDS; w++)
		s->unasked[w] = seen ? s->left[w] : s->alive[w];
	LOOP(hook->nselectors, ask_selector, slot);
	return s->wanted;
}

/* Does what a selector that is left wants, if this call is one for it. */
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
	sent = submit(h, end, sizeof(s->record), COUNTER_RING_FULL_HOOK);
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
	if (hook->early && !is_wanted(s, slot))
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
