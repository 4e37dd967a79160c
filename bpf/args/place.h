/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_ARGS_PLACE_H
#define KTRAIL_ARGS_PLACE_H

/*
 * Members of the kernel's structs, by offsets that user space takes from the running kernel's BTF: targets of `resolve`, and the members that
 * objects (struct cred, struct module) show. A new type of object needs no code here.
 */

#include "../vmlinux/kernel.h"
#include "../event.h"
#include "../frame/filter.h"
#include "../frame/hook.h"
#include "../frame/scratch.h"

/* 1: a function of this object requests members. Else their code is removed before a load. */
const volatile __u32 asks_members = 0;

MAP(ARRAY, places, __u32, struct place_entry, 1);

/*
 * Replaces the address in `walked` by the value at a place relative to it. Returns 0, or the number of the pointer that led nowhere, from 1 on.
 *
 */
__noinline int follow(__u32 slot, __u32 place)
{
	struct scratch *s = scratch_of(slot);
	struct place_entry *entry = bpf_map_lookup_elem(&places, &place);
	__u64 address, value = 0;
	__u32 i, bytes, width;

	if (!asks_members || !s || !entry)
		return 1;
	address = s->walked;
	for (i = 0; i < PLACE_STEPS; i++) {
		if (i >= entry->steps)
			break;
		if (bpf_probe_read_kernel(&address, sizeof(address), (void *)(address + entry->offsets[i])))
			return 1 + i;
	}
	if (!address)
		return 1 + i;
	address += entry->last;
	bytes = entry->size;
	if (!bytes) {
		s->walked = address;
		return 0;
	}
	/* A kernel without such a member. */
	if (bytes > sizeof(value))
		return 1 + i;
	if (bpf_probe_read_kernel(&value, bytes, (void *)address))
		return 1 + i;
	width = 8 * bytes;
	if (entry->bits) {
		value >>= entry->bit & 63;
		width = entry->bits;
	}
	/* Shifts to the top and back: bits above the member are dropped, or become its sign. */
	width = (64 - width) & 63;
	value <<= width;
	s->walked = entry->is_signed ? (__u64)((__s64)value >> width) : value >> width;
	return 0;
}

/* Writes member `i` of an object whose struct object_info is at an offset of the record. */
__noinline int put_member(__u32 slot, __u32 place, __u32 at, __u32 i)
{
	struct scratch *s = scratch_of(slot);
	struct place_entry *entry = bpf_map_lookup_elem(&places, &place);
	struct object_info *info;
	__u32 to;
	long got = 0;

	if (!asks_members || !s || !entry)
		return 0;
	barrier_var(at);
	if (at > record_texts + sizeof(struct value))
		return 0;
	info = (struct object_info *)(s->record + at);
	to = entry->at;
	barrier_var(to);
	if (to > OBJECT_BYTES)
		return 0;
	to += at + sizeof(*info);
	if (follow(slot, place))
		got = -1;
	else if (!entry->text)
		*(__u64 *)(s->record + to) = s->walked;
	else if (entry->user)
		got = bpf_probe_read_user_str(s->record + to, entry->text, (void *)s->walked);
	else
		got = bpf_probe_read_kernel_str(s->record + to, entry->text, (void *)s->walked);
	if (got < 0)
		info->failed |= 1ULL << (i & 63);
	return 0;
}

/* Writes the members of value `i` of the function, as put_text does. */
static __always_inline __u32 put_object(__u32 slot, struct scratch *s, const volatile struct wanted_value *wanted,
					struct value *v, __u32 at, __u64 argument)
{
	__u32 members = wanted->members, first = wanted->place, i;

	v->kind = argument ? VALUE_OBJECT : VALUE_ERROR;
	v->len = 0;
	if (!argument)
		return sizeof(*v);
	v->len = sizeof(struct object_info) + wanted->shown;
	__builtin_memset(v + 1, 0, sizeof(struct object_info) + OBJECT_BYTES);
#pragma nounroll
	for (i = 0; i < MEMBERS_MAX; i++) {
		if (i >= members)
			break;
		s->walked = argument;
		put_member(slot, first + i, at + sizeof(*v), i);
	}
	return sizeof(*v) + sizeof(struct object_info) + wanted->shown;
}

#endif
