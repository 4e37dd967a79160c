/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_MATCH_SET_H
#define KTRAIL_MATCH_SET_H

/*
 * Sets of selectors, one bit each. Whatever screens a call looks up a set by what it sees (a number, a path component)
 * and leaves only the selectors that are in all of these sets. So a call costs the same for one policy as for many.
 * Equal sets are stored once. `words` is a constant of the function: the verifier removes the rest of each loop.
 */

struct set {
	__u64 bits[SET_WORDS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct set);
} sets SEC(".maps");

enum set_id {
	EMPTY_SET = 0,
};

/* Position of the lowest bit that is set; `bits` is not 0. Global: its 64 ways are looked at once. */
__noinline int lowest_bit(__u64 bits)
{
	__u32 at = 0;

	if (!(bits & 0xffffffff)) {
		bits >>= 32;
		at += 32;
	}
	if (!(bits & 0xffff)) {
		bits >>= 16;
		at += 16;
	}
	if (!(bits & 0xff)) {
		bits >>= 8;
		at += 8;
	}
	if (!(bits & 0xf)) {
		bits >>= 4;
		at += 4;
	}
	if (!(bits & 0x3)) {
		bits >>= 2;
		at += 2;
	}
	return at + !(bits & 1);
}

static __always_inline void set_add(__u64 *to, __u32 words, __u32 id)
{
	struct set *set = bpf_map_lookup_elem(&sets, &id);
	__u32 w;

	if (!set)
		return;
	for (w = 0; w < SET_WORDS; w++) {
		if (w >= words)
			break;
		to[w] |= set->bits[w];
	}
}

static __always_inline void set_clear(__u64 *set, __u32 words)
{
	__u32 w;

	for (w = 0; w < SET_WORDS; w++) {
		if (w >= words)
			break;
		set[w] = 0;
	}
}

/* Keeps in `set` what is in `other` too; false when nothing is left. */
static __always_inline bool set_keep(__u64 *set, __u32 words, const __u64 *other)
{
	__u64 left = 0;
	__u32 w;

	for (w = 0; w < SET_WORDS; w++) {
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

/* Whether the set has something of `others`, an array of SET_WORDS. */
static __always_inline bool set_meets(const __u64 *others, __u32 id)
{
	struct set *set = bpf_map_lookup_elem(&sets, &id);
	__u64 both = 0;
	__u32 w;

	for (w = 0; set && w < SET_WORDS; w++)
		both |= set->bits[w] & others[w];
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
