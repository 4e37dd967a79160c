/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_MATCH_SET_H
#define KTRAIL_MATCH_SET_H

/*
 * Sets of selectors, one bit each. Each screen of a call looks up a set, by a number or a path component.
 * The selectors that are in all of these sets are left. So a call costs the same for one policy as for many.
 * Equal sets are stored once. `words` is a constant of the function: the verifier removes the rest of each loop. The first word is outside of it:
 * nearly all functions have no other.
 */

#include "../vmlinux/kernel.h"
#include "../frame/filter.h"

struct set {
	__u64 bits[SET_WORDS];
};

MAP(ARRAY, sets, __u32, struct set, 1);

enum set_id {
	EMPTY_SET = 0,
};

/* Position of a bit by the six highest bits of a number that holds each six bits once (de Bruijn), multiplied by that bit. */
#define DE_BRUIJN 0x03f79d71b4cb0a89ull
const volatile __u8 bit_positions[64] = {
	0,  1,  48, 2,  57, 49, 28, 3,  61, 58, 50, 42, 38, 29, 17, 4,  62, 55, 59, 36, 53, 51, 43, 22, 45, 39, 33, 30, 24, 18, 12, 5,
	63, 47, 56, 27, 60, 41, 37, 16, 54, 35, 52, 21, 44, 32, 23, 11, 46, 26, 40, 15, 34, 20, 31, 10, 25, 14, 19, 9,  13, 8,  7,  6,
};

/* Position of the lowest bit that is set; `bits` is not 0. */
static __always_inline __u32 lowest_bit(__u64 bits)
{
	return bit_positions[((bits & -bits) * DE_BRUIJN) >> 58];
}

static __always_inline void set_add(__u64 *to, __u32 words, __u32 id)
{
	struct set *set = bpf_map_lookup_elem(&sets, &id);
	__u32 w;

	if (!set)
		return;
	to[0] |= set->bits[0];
	for (w = 1; w < SET_WORDS; w++) {
		if (w >= words)
			break;
		to[w] |= set->bits[w];
	}
}

static __always_inline void set_clear(__u64 *set, __u32 words)
{
	__u32 w;

	set[0] = 0;
	for (w = 1; w < SET_WORDS; w++) {
		if (w >= words)
			break;
		set[w] = 0;
	}
}

/* A missing set counts as empty. */
static __always_inline void set_copy(__u64 *to, __u32 words, __u32 id)
{
	struct set *set = bpf_map_lookup_elem(&sets, &id);
	__u32 w;

	if (!set) {
		set_clear(to, words);
		return;
	}
	to[0] = set->bits[0];
	for (w = 1; w < SET_WORDS; w++) {
		if (w >= words)
			break;
		to[w] = set->bits[w];
	}
}

/* Intersects `set` with `other`; false if nothing is left. */
static __always_inline bool set_keep(__u64 *set, __u32 words, const __u64 *other)
{
	__u64 left;
	__u32 w;

	set[0] &= other[0];
	left = set[0];
	for (w = 1; w < SET_WORDS; w++) {
		if (w >= words)
			break;
		set[w] &= other[w];
		left |= set[w];
	}
	return left != 0;
}

static __always_inline bool set_keep_id(__u64 *alive, __u32 words, __u32 id)
{
	struct set *set = bpf_map_lookup_elem(&sets, &id);

	return set && set_keep(alive, words, set->bits);
}

/* Whether the set has something of `others`, an array of SET_WORDS; `used`: bit n where word n counts. */
static __always_inline bool set_meets(const __u64 *others, __u32 used, __u32 id)
{
	struct set *set = bpf_map_lookup_elem(&sets, &id);
	__u64 both = 0;
	__u32 w;

	if (!set)
		return false;
	for (w = 0; w < SET_WORDS; w++) {
		if (used >> w & 1)
			both |= set->bits[w] & others[w];
	}
	return both != 0;
}

/* Whether all of the set is in `others`. */
static __always_inline bool set_within(__u32 id, const __u64 *others)
{
	struct set *set = bpf_map_lookup_elem(&sets, &id);
	__u64 missing = 0;
	__u32 w;

	if (!set)
		return false;
	for (w = 0; w < SET_WORDS; w++)
		missing |= set->bits[w] & ~others[w];
	return missing == 0;
}

#endif
