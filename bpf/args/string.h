/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_ARGS_STRING_H
#define KTRAIL_ARGS_STRING_H

#include "../vmlinux/kernel.h"
#include "../event.h"
#include "../base/record.h"

#define STRING_BYTES 4096

/* Writes the text at an address, of the kernel or of the caller, at `at`; returns the bytes used. */
static __always_inline __u32 put_string(char *at, __u64 argument)
{
	struct value *v = (struct value *)at;
	struct text_key *key = (struct text_key *)(v + 1);
	long len;

	/* Kernel addresses have their top bit set. */
	if ((__s64)argument < 0)
		len = bpf_probe_read_kernel_str(key + 1, STRING_BYTES, (void *)argument);
	else
		len = bpf_probe_read_user_str(key + 1, STRING_BYTES, (void *)argument);
	if (len < 0) {
		v->kind = VALUE_ERROR;
		v->len = 0;
		return sizeof(*v);
	}
	v->kind = VALUE_STRING;
	/* The length includes the NUL, except for an empty text of the caller: 0 (mm/maccess.c strncpy_from_user_nofault). */
	v->len = len ? len - 1 : 0;
	v->flags = len == STRING_BYTES ? VALUE_TRUNCATED : 0;
	return sizeof(*v) + sizeof(*key) + padded(v->len);
}

#endif
