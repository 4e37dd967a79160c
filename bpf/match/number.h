/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_MATCH_NUMBER_H
#define KTRAIL_MATCH_NUMBER_H

/*
 * Filters on numbers. The screen knows for each small number which selectors it leaves. A selector's filter has up to
 * FILTER_NUMBERS values itself, more of them in the map `numbers`.
 */

#include "../vmlinux/kernel.h"
#include "../event.h"
#include "../frame/filter.h"
#include "set.h"

/* Set of selectors by hook.number_sets[i] + number; the last of a number's entries is for everything from SMALL_NUMBERS on. */
MAP(ARRAY, number_sets, __u32, __u32, 1);

struct number_key {
	__u32 filter;
	__u32 reserved;
	__u64 number;
};

MAP(HASH, numbers, struct number_key, __u8, 1);

/* Keeps in `alive` the selectors that this number may match; `from`: its entries in `number_sets`. */
static __always_inline bool screen_number(__u64 *alive, __u32 words, __u32 from, __u64 number)
{
	__u32 key = from + (number < SMALL_NUMBERS ? number : SMALL_NUMBERS);
	__u32 *id = bpf_map_lookup_elem(&number_sets, &key);

	return id && set_keep_id(alive, words, *id);
}

static __always_inline bool number_is(const struct filter *f, bool sign, __u64 number, __u64 value)
{
	switch (f->op) {
	case OP_MASK:
		return (number & value) != 0;
	case OP_GREATER_THAN:
		return sign ? (__s64)number > (__s64)value : number > value;
	case OP_LESS_THAN:
		return sign ? (__s64)number < (__s64)value : number < value;
	}
	return number == value;
}

/* Whether the operator holds for one of the filter's numbers; if they are in the map, the operator is always equality. */
static __always_inline bool number_among(const struct filter *f, bool sign, __u64 number)
{
	struct number_key key = { .filter = f->id, .number = number };
	__u32 i;

	if (f->count == 0)
		return bpf_map_lookup_elem(&numbers, &key) != 0;
	for (i = 0; i < FILTER_NUMBERS; i++) {
		if (i >= f->count)
			break;
		if (number_is(f, sign, number, f->numbers[i]))
			return true;
	}
	return false;
}

/* A number of the record. Its sign decides which number is greater. */
static __always_inline bool number_matches(const struct filter *f, const struct value *v)
{
	return number_among(f, v->kind == VALUE_INT, *(__u64 *)(v + 1)) != (f->op == OP_NOT_EQUAL);
}

#define S_IFMT 0170000 /* include/uapi/linux/stat.h */

/* The type of a file in the record. Without a file, no filter on types matches, not even a negative one. */
static __always_inline bool file_type_matches(const struct filter *f, const struct value *v)
{
	const struct file_info *info = (const struct file_info *)(v + 1);

	return info->dev && number_among(f, false, info->mode & S_IFMT) != (f->op == OP_NOT_EQUAL);
}

#endif
