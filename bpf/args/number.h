/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_ARGS_NUMBER_H
#define KTRAIL_ARGS_NUMBER_H

/* Integers: the register cut to the declared width, then extended by the declared sign. */

#include "../vmlinux/kernel.h"
#include "../event.h"
#include "../frame/filter.h"

_Static_assert(ARG_S8 % 4 == 0 && ARG_S64 == ARG_S8 + 3 && ARG_U8 % 4 == 0 && ARG_U64 == ARG_U8 + 3,
	       "the last two bits of an integer's type are its width: 8 bits, shifted left by them");

static __always_inline bool is_signed(__u8 type)
{
	return type >= ARG_S8 && type <= ARG_S64;
}

/* `type`: of an integer. */
static __always_inline __u64 narrowed(__u8 type, __u64 raw)
{
	__u32 unused = 64 - (8 << (type & 3));

	raw <<= unused;
	return is_signed(type) ? (__s64)raw >> unused : raw >> unused;
}

static __always_inline __u32 put_number(char *at, __u8 type, __u64 number)
{
	struct value *v = (struct value *)at;

	v->kind = is_signed(type) ? VALUE_INT : VALUE_UINT;
	v->len = sizeof(number);
	v->flags = 0;
	*(__u64 *)(v + 1) = number;
	return sizeof(*v) + sizeof(number);
}

#endif
