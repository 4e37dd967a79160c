/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_MATCH_TEXT_H
#define KTRAIL_MATCH_TEXT_H

/* Filters on texts, of which paths are one: values are keys of prefix trees, those of Postfix turned round. */

#include "../vmlinux/kernel.h"
#include "../event.h"
#include "../path.h"
#include "../filter.h"

/* 1: a function of this object asks for bytes (args/bytes.h), 2: for more than BYTES_MAX of a buffer. Else the verifier removes what is for them. */
const volatile __u32 asks_bytes = 0;

enum text_limit {
	TEXT_MAX = 4095,       /* longest value of a text filter */
	TEXT_KEY_BYTES = 252,  /* what one key holds of it; 4 bytes name the filter */
	SUFFIX_KEY_BYTES = 128,
	AUTOMATON_FOUND = 0xffff, /* the state of a text that contains a value */
	AUTOMATON_ROUND = 64,     /* bytes that are looked at in one round of the search */
};

/* kernel/bpf/lpm_trie.c LPM_DATA_SIZE_MAX */
_Static_assert(sizeof(__u32) + TEXT_KEY_BYTES <= 256, "too long for the key of a prefix tree");

struct text_entry {
	__u32 bits;
	__u32 filter;
	char text[TEXT_KEY_BYTES];
};

struct text_value {
	__u32 len;   /* of the longest value that begins the text, as far as known here; 0: none */
	__u32 next;  /* longer values begin like this one: what the tree calls the filter in the keys of their next part; 0: none */
};

/*
 * Values of Equal and Prefix: the longest stored value that begins the text; its length shows whether it is the whole. Values
 * longer than a key are stored in parts of TEXT_KEY_BYTES.
 */
TRIE(texts, struct text_entry, struct text_value, 1);

struct suffix_entry {
	__u32 bits;
	__u32 filter;
	char text[SUFFIX_KEY_BYTES];
};

/* Values of Postfix, last byte first. */
TRIE(suffixes, struct suffix_entry, __u32, 1);

/* What the next byte of a text leads to, by state: values of SubString. */
struct automaton_row {
	__u16 next[256];
};

MAP(ARRAY, automata, __u32, struct automaton_row, 1);

/* In call/match.h, which knows where the text is. */
int longest_value(__u32 slot, __u32 text, __u32 len, __u32 next);
int text_contains(__u32 slot, __u32 text, __u32 len, __u32 state);

/* A text of the record: its key words stand right before its bytes. `at`: the text's offset in the record. */
static __always_inline bool text_matches(const struct filter *f, struct value *v, struct text_key *key,
					 struct suffix_entry *reversed, __u32 slot, __u32 at)
{
	char *text = (char *)(key + 1), *end;
	bool hit = false, cut = v->flags & VALUE_UNRESOLVED;
	struct text_value *stored;
	__u32 len = v->len, i, longest = 0;

	/* Its folders were renamed in every try: any text may be the true one. */
	if (v->flags & VALUE_UNSTABLE)
		return true;
	/* No path at all never matches, but one that could not be read must not pass unseen. */
	if (len == 0 && v->kind == VALUE_FILE)
		return cut;
	/* Of bytes, what all policies see. */
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
		end = text + (len & (2 * PATH_BYTES - 1));
		for (i = 0; i < SUFFIX_KEY_BYTES / 8; i++)
			((__u64 *)reversed->text)[i] = __builtin_bswap64(*(__u64 *)(end - 8 * (i + 1)));
		reversed->bits = 8 * (sizeof(reversed->filter) + (len < SUFFIX_KEY_BYTES ? len : SUFFIX_KEY_BYTES));
		hit = bpf_map_lookup_elem(&suffixes, reversed) != 0;
		return hit == (f->op == OP_POSTFIX);
	case OP_SUB_STRING:
		/* What is missing of it may contain one. */
		return text_contains(slot, at, len, f->numbers[0]) || cut;
	}
	return false;
}

#endif
