/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_ARGS_VALUES_H
#define KTRAIL_ARGS_VALUES_H

/* Reads the values of a record: each argument by its type, all that the policies on a function request. */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "../event.h"
#include "../frame/filter.h"
#include "../frame/hook.h"
#include "../frame/scratch.h"
#include "number.h"
#include "place.h"
#include "string.h"
#include "bytes.h"
#include "details.h"
#include "file.h"
#include "socket.h"
#include "unix.h"

/* Whether an argument is more than its register. */
static __always_inline bool is_read(__u8 type)
{
	return type < ARG_S8 || type > ARG_U64;
}

/* Whether value `i` of a function is the path that the screen checks. */
static __always_inline bool is_screened(const volatile struct hook *hook, __u32 i)
{
	return i == 0 && hook->path.param < PARAMS_MAX;
}

/* Writes value `i` of the function, which is_read, at an offset of the record; returns the bytes used. */
__noinline int put_text(__u32 slot, __u32 i, __u32 at)
{
	struct scratch *s = scratch_of(slot);
	const volatile struct hook *hook = &hooks[slot & (HOOK_SLOTS - 1)];
	const volatile struct wanted_value *wanted = &hook->values[i & (VALUES_MAX - 1)];
	__u32 param = wanted->param;
	__u8 type = wanted->type;
	struct value *v;
	__u64 argument;
	__u32 used;
	int failed;

	if (!s || param > (asks_members ? PARAM_TASK : PARAMS_MAX - 1))
		return 0;
	v = text_at(s, at);
	if (!v)
		return 0;
	argument = param < PARAMS_MAX ? s->call.params[param] : bpf_get_current_task();
	v->index = wanted->index;
	v->places = wanted->places;
	v->flags = 0;
	if (asks_bytes && is_bytes(type))
		return put_bytes(slot, s, wanted, v, at, argument);
	if (asks_members && type == ARG_OBJECT)
		return put_object(slot, s, wanted, v, at, argument);
	if (asks_members && wanted->places) {
		s->walked = argument;
		failed = follow(slot, wanted->place);
		if (failed) {
			v->kind = VALUE_ERROR;
			v->len = 0;
			v->flags = failed;
			return sizeof(*v);
		}
		argument = s->walked;
		if (!is_read(type))
			return put_number((char *)v, type, narrowed(type, argument));
	}
	if (is_file(type))
		return put_file(slot, v, at, type, argument, is_screened(hook, i), s);
	if (asks_network && type >= ARG_SOCK && type <= ARG_SOCKADDR)
		return put_socket(v, type, argument);
	if (asks_network && type == ARG_NET_DEVICE && argument)
		argument = MEMBER(net_device, argument, name);
	if (type == ARG_FILENAME && argument)
		argument = (__u64)LOAD(filename, argument, name);
	if (asks_network > 1 && type == ARG_SOCKADDR_UN)
		used = put_unix_address((char *)v, argument, wanted->size < PARAMS_MAX ? s->call.params[wanted->size] : ~0u);
	else
		used = put_string((char *)v, argument);
	if (v->kind == VALUE_ERROR && s->call.returns & HOOK_RETURN_FOLLOWS && !s->call.at_once)
		s->call.unread = true;
	return used;
}

/* Adds the requested details to value `i`, a file at an offset of the record; returns the bytes used. */
static __always_inline __u32 add_details(__u32 slot, struct scratch *s, __u32 i, __u32 at, __u32 used)
{
	struct value *v = value_at(s, at);

	if (!v || v->kind != VALUE_FILE)
		return 0;
	v->flags |= VALUE_DETAILS;
	at += used;
	used = put_details(slot, at);
	put_names(slot, i, at);
	return used;
}

/* Writes a number that is a parameter at an offset of the record; returns the bytes used. */
static __always_inline __u32 put_parameter(struct scratch *s, const volatile struct wanted_value *wanted, __u32 at)
{
	struct value *v = value_at(s, at);
	__u32 param = wanted->param;
	__u8 type = wanted->type;

	if (!v || param >= PARAMS_MAX)
		return 0;
	v->index = wanted->index;
	v->places = 0;
	return put_number((char *)v, type, narrowed(type, s->call.params[param]));
}

/* The values that filters test first: members of structs, and files without their paths. The record overwrites them. False if one could not be read. */
static __always_inline bool put_judged(struct scratch *s, __u32 slot)
{
	const volatile struct hook *hook = &hooks[slot];
	__u32 at = sizeof(struct event_header), used, i;
	bool unread;

	KEEP(hook);
#pragma unroll
	for (i = 0; i < VALUES_MAX; i++) {
		if (!(hook->judged >> i & 1))
			continue;
		used = hook->values[i].places ? put_text(slot, i, at) : put_identity(s, &hook->values[i], at);
		if (!used)
			return false;
		s->offset[i] = at;
		at += used;
	}
	unread = s->call.unread;
	s->call.unread = false;
	return !unread;
}

/* All values that the policies on the function request. */
static __always_inline void put_values(struct scratch *s, __u32 slot)
{
	const volatile struct hook *hook = &hooks[slot];
	__u32 at = sizeof(struct event_header), used, i;

	KEEP(hook);
	/* The verifier then removes the code of each round that its value does not need. */
#pragma unroll
	for (i = 0; i < VALUES_MAX; i++) {
		const volatile struct wanted_value *wanted = &hook->values[i];

		if (i >= hook->nvalues)
			break;
		if (is_read(wanted->type) || wanted->places) {
			used = is_screened(hook, i) ? put_screened(s, wanted, at) : 0;
			if (!used)
				used = put_text(slot, i, at);
			if (!used)
				break;
			if (asks_details && wanted->shown)
				used += add_details(slot, s, i, at, used);
		} else {
			used = put_parameter(s, wanted, at);
			if (!used)
				break;
		}
		s->offset[i] = at;
		at += used;
	}
	s->written = i;
	s->end = at;
}

#endif
