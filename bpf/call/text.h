/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_CALL_TEXT_H
#define KTRAIL_CALL_TEXT_H

/* Whether a text of the record passes a filter on texts. frame/texts.h has the values of these filters. */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "../event.h"
#include "../base/path.h"
#include "../frame/filter.h"
#include "../frame/texts.h"
#include "../args/bytes.h"
#include "../frame/scratch.h"

#define TEXT_PARTS ((TEXT_MAX + TEXT_KEY_BYTES - 1) / TEXT_KEY_BYTES)

/*
 * The length of the longest value that begins the text at an offset of the record, 0 if there is none. Only values whose first
 * part begins it are compared.
 */
__noinline int longest_value(__u32 slot, __u32 text, __u32 len, __u32 next)
{
	struct scratch *s = scratch_of(slot);
	struct text_value *stored;
	__u32 longest = 0, i = ROUNDS_FROM(1), from, rest;

	if (!s)
		return 0;
	for (; i < TEXT_PARTS && GOES_ON; i++) {
		from = TEXT_KEY_BYTES * i;
		if (from >= len)
			break;
		rest = len - from;
		if (rest > TEXT_KEY_BYTES)
			rest = TEXT_KEY_BYTES;
		from += text;
		barrier_var(from);
		if (from > RECORD_ROOM - TEXT_KEY_BYTES)
			break;
		barrier_var(from);
		s->part.bits = 8 * (sizeof(s->part.filter) + rest);
		s->part.filter = next;
		/* The whole text, without the bytes behind it. */
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

/* Searches some bytes; returns 1 at the end. */
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
		if (at >= RECORD_ROOM)
			return 1;
		barrier_var(at);
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

/* Whether the text at an offset of the record contains a value of a filter. */
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

/* A text of the record: its key words stand right before its bytes. `at`: the text's offset in the record. */
static __always_inline bool text_matches(const struct filter *f, struct value *v, struct text_key *key, struct scratch *s,
					 __u32 slot, __u32 at)
{
	struct suffix_entry *reversed = &s->reversed;
	char *end;
	bool hit = false, cut = v->flags & VALUE_UNRESOLVED;
	struct text_value *stored;
	__u32 len = v->len, i, longest = 0;

	/* Its folders were renamed in every try: any text may be the true one. */
	if (v->flags & VALUE_UNSTABLE)
		return true;
	/* No path at all never matches, but one that could not be read must not pass unseen. */
	if (len == 0 && v->kind == VALUE_FILE)
		return cut;
	/* Bytes are compared up to the length that all policies see. */
	if (asks_bytes > 1 && v->kind == VALUE_BYTES && len > TEXT_MAX)
		len = TEXT_MAX;
	switch (f->op) {
	case OP_EQUAL:
	case OP_NOT_EQUAL:
	case OP_PREFIX:
	case OP_NOT_PREFIX:
		key->filter = f->id;
		key->bits = 8 * (sizeof(key->filter) + (len < TEXT_KEY_BYTES ? len : TEXT_KEY_BYTES));
		stored = bpf_map_lookup_elem(&texts, key);
		if (stored)
			longest = stored->len;
		if (stored && stored->next && len > TEXT_KEY_BYTES)
			longest = longest_value(slot, at, len, stored->next) ?: longest;
		if (f->op == OP_EQUAL || f->op == OP_NOT_EQUAL)
			/* The true one is longer than any value. */
			hit = longest && longest == len && !cut;
		else
			hit = longest != 0;
		/* A text without its beginning cannot be refused by a prefix. */
		if (cut && (f->op == OP_PREFIX || f->op == OP_NOT_PREFIX))
			return true;
		return hit == (f->op == OP_EQUAL || f->op == OP_PREFIX);
	case OP_POSTFIX:
	case OP_NOT_POSTFIX:
		reversed->filter = f->id;
		/* All words of the key; of a text that is shorter, the first ones go before its start, where the record still is. */
		at += len;
		barrier_var(at);
		if (at > RECORD_ROOM)
			return true;
		barrier_var(at);
		end = s->record + at;
		for (i = 0; i < SUFFIX_KEY_BYTES / 8; i++)
			((__u64 *)reversed->text)[i] = __builtin_bswap64(*(__u64 *)(end - 8 * (i + 1)));
		reversed->bits = 8 * (sizeof(reversed->filter) + (len < SUFFIX_KEY_BYTES ? len : SUFFIX_KEY_BYTES));
		hit = bpf_map_lookup_elem(&suffixes, reversed) != 0;
		return hit == (f->op == OP_POSTFIX);
	case OP_SUB_STRING:
		/* The missing part of the text may contain one. */
		return text_contains(slot, at, len, f->numbers[0]) || cut;
	}
	return false;
}

#endif
