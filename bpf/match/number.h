/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_MATCH_NUMBER_H
#define KTRAIL_MATCH_NUMBER_H

/* Filters on numbers: up to FILTER_NUMBERS values are constants of the filter, more of them a set in a map. */

struct number_key {
	__u32 filter;
	__u32 reserved;
	__u64 number;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct number_key);
	__type(value, __u8);
} numbers SEC(".maps");

static __always_inline bool number_is(const volatile struct filter *f, bool sign, __u64 number, __u64 value)
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

/* Whether it holds for one of the filter's numbers; only equality is asked of more of them than the filter has room for. */
static __always_inline bool number_among(const volatile struct filter *f, bool sign, __u64 number)
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

/* `type` is that of the argument, whose sign decides which number is greater. */
static __always_inline bool number_matches(const volatile struct filter *f, __u8 type, __u64 number)
{
	return number_among(f, is_signed(type), number) != (f->op == OP_NOT_EQUAL);
}

#endif
