/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_ARGS_EVENT_H
#define KTRAIL_ARGS_EVENT_H

/* Parameters of tracepoints: values at known places in the kernel's buffer of the event. */

#include "../vmlinux/kernel.h"
#include "../frame/hook.h"

#define COMPAT_BIT (1ull << 31)

/* A field of the event at an address, as a function would have it as parameter. */
static __always_inline __u64 take_field(__u64 event, const volatile struct event_field *field)
{
	__u32 kind = field->kind, bytes = field->width, located = 0;
	__u64 at = event + field->offset, raw = 0;

	if (kind == FIELD_PLACE)
		return at;
	if (kind == FIELD_LOCATED || kind == FIELD_LOCATED_ON) {
		bpf_probe_read_kernel(&located, sizeof(located), (void *)at);
		/* The upper half is its length. */
		return (kind == FIELD_LOCATED ? event : at + sizeof(located)) + (__u16)located;
	}
	if (bytes > sizeof(raw))
		bytes = sizeof(raw);
	bpf_probe_read_kernel(&raw, bytes, (void *)at);
	if (kind == FIELD_SYSCALL)
		return IN_COMPAT_SYSCALL(bpf_get_current_task()) ? raw | COMPAT_BIT : raw;
	if (kind == FIELD_SIGNED && bytes)
		return (__s64)(raw << (64 - 8 * bytes)) >> (64 - 8 * bytes);
	return raw;
}

#endif
