/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_FRAME_TEXTS_H
#define KTRAIL_FRAME_TEXTS_H

/* The values of filters on texts, of which paths are one: keys of prefix trees, those of Postfix turned round, and automata of SubString. */

#include "../vmlinux/kernel.h"

enum text_limit {
	TEXT_MAX = 4095,       /* longest value of a text filter */
	TEXT_KEY_BYTES = 252,  /* bytes of a value in one key; 4 more bytes name the filter */
	SUFFIX_KEY_BYTES = 128,
	AUTOMATON_FOUND = 0xffff, /* the state of a text that contains a value */
	AUTOMATON_ROUND = 64,     /* bytes that one round of the search reads */
};

/* kernel/bpf/lpm_trie.c LPM_DATA_SIZE_MAX */
_Static_assert(sizeof(__u32) + TEXT_KEY_BYTES <= 256, "too long for the key of a prefix tree");

struct text_entry {
	__u32 bits;
	__u32 filter;
	char text[TEXT_KEY_BYTES];
};

struct text_value {
	__u32 len;   /* length of the longest value so far that begins the text; 0: none */
	__u32 next;  /* if longer values begin with this one: number of the filter in the keys of their next part; 0: none */
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

/* The next state by the next byte of a text: values of SubString. */
struct automaton_row {
	__u16 next[256];
};

MAP(ARRAY, automata, __u32, struct automaton_row, 1);

#endif
