/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_ARGS_NUMBER_H
#define KTRAIL_ARGS_NUMBER_H

/* Integers: the register cut to the declared width, then extended by the declared sign. */

static __always_inline __u64 narrowed(__u8 type, __u64 raw)
{
	switch (type) {
	case ARG_S8:
		return (__s64)(__s8)raw;
	case ARG_S16:
		return (__s64)(__s16)raw;
	case ARG_S32:
		return (__s64)(__s32)raw;
	case ARG_U8:
		return (__u8)raw;
	case ARG_U16:
		return (__u16)raw;
	case ARG_U32:
		return (__u32)raw;
	}
	return raw;
}

static __always_inline bool is_signed(__u8 type)
{
	return type >= ARG_S8 && type <= ARG_S64;
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
