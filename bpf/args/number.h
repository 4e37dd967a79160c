/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_ARGS_NUMBER_H
#define KTRAIL_ARGS_NUMBER_H

/* Integers: the register cut to the declared width, then extended by the declared sign. */

static __always_inline __u64 narrowed(__u8 type, __u64 raw)
{
	if (type == ARG_S32)
		return (__u64)(__s64)(__s32)raw;
	if (type == ARG_U32)
		return (__u32)raw;
	return raw;
}

static __always_inline __u32 put_number(char *at, __u8 type, __u64 number)
{
	struct value *v = (struct value *)at;

	v->kind = type == ARG_S32 || type == ARG_S64 ? VALUE_INT : VALUE_UINT;
	v->len = sizeof(number);
	v->flags = 0;
	*(__u64 *)(v + 1) = number;
	return sizeof(*v) + sizeof(number);
}

#endif
