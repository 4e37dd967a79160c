/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_ARGS_BYTES_H
#define KTRAIL_ARGS_BYTES_H

/*
 * Arguments that are buffers: one (char_buf), several of an array of struct iovec (char_iovec), or those of a struct iov_iter. Another argument has
 * their number of bytes, or of parts. If the function fills them in, its return value has the number of bytes that it wrote.
 */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "../event.h"
#include "../base/maps.h"
#include "../base/record.h"
#include "../frame/filter.h"
#include "../frame/hook.h"
#include "../frame/scratch.h"
#include "number.h"

/* 1: a function of this object requests bytes, 2: more than BYTES_MAX of a buffer. Else their code is removed before a load. */
const volatile __u32 asks_bytes = 0;

#define PARTS_MAX 1024 /* include/uapi/linux/uio.h UIO_MAXIOV */
#define PAGE_BYTES 4096ull
/* Behind this a value has room for BYTES_MAX only: others follow it, and all begin within RECORD_BYTES. */
#define DATA_BEGIN (RECORD_BYTES - sizeof(struct value) - sizeof(struct text_key) - DATA_MAX - sizeof(__u64))

static __always_inline bool is_bytes(__u8 type)
{
	return type >= ARG_CHAR_BUF && type <= ARG_IOV_ITER;
}

/* Reads from the kernel or from the caller: kernel addresses have their top bit set. */
static __always_inline long read_at(void *to, __u32 bytes, __u64 from)
{
	return (__s64)from < 0 ? bpf_probe_read_kernel(to, bytes, (void *)from) : bpf_probe_read_user(to, bytes, (void *)from);
}

static __always_inline long read_within(struct scratch *s, __u32 at, __u32 bytes, __u64 from, const __u32 most)
{
	barrier_var(at);
	barrier_var(bytes);
	if (bytes > most || at > RECORD_ROOM - most)
		return -1;
	barrier_var(at);
	return read_at(s->record + at, bytes, from);
}

/* Reads into the record, with a bound for each size: the verifier does not know that near its end only a few bytes are left to read. */
static __always_inline long read_into(struct scratch *s, __u32 at, __u32 bytes, __u64 from)
{
	if (asks_bytes < 2 || bytes <= BYTES_MAX)
		return read_within(s, at, bytes, from, BYTES_MAX);
	if (bytes <= DATA_MAX / 2)
		return read_within(s, at, bytes, from, DATA_MAX / 2);
	return read_within(s, at, bytes, from, DATA_MAX);
}

/* Reads the bytes before the first page that cannot be read; returns their number. */
static __always_inline __u32 read_pages(struct scratch *s, __u32 at, __u32 bytes, __u64 from)
{
	const __u32 pages = asks_bytes < 2 ? 1 : DATA_MAX / PAGE_BYTES;
	__u32 done = 0, here, i;

	for (i = 0; i < DATA_MAX / PAGE_BYTES; i++) {
		here = PAGE_BYTES - (from & (PAGE_BYTES - 1));
		if (i >= pages || here >= bytes - done || read_into(s, at + done, here, from))
			break;
		done += here;
		from += here;
	}
	return done;
}

/*
 * Adds bytes from the address `walked` on to those in the record. A missing page, or one that is not in memory, hides none of the bytes before it.
 *
 */
__noinline int take_bytes(__u32 slot, __u64 bytes)
{
	struct scratch *s = scratch_of(slot);
	__u32 at, taken, room;
	__u64 from;

	if (!s || s->bytes.unread)
		return 0;
	taken = s->bytes.len;
	if (taken >= s->bytes.most)
		return 0;
	room = s->bytes.most - taken;
	if (bytes < room)
		room = bytes;
	if (!room)
		return 0;
	at = s->bytes.at + taken;
	from = s->walked;
	if (read_into(s, at, room, from)) {
		s->bytes.unread = 1;
		room = read_pages(s, at, room, from);
	}
	s->bytes.len = taken + room;
	return 0;
}

/* Adds those of one struct iovec. */
static __always_inline int next_part(__u32 slot)
{
	struct scratch *s = scratch_of(slot);
	struct iovec part = {};
	__u64 left, bytes;

	if (!s || !s->bytes.count)
		return 1;
	if (read_at(&part, sizeof(part), s->bytes.parts)) {
		s->bytes.unread = 1;
		return 1;
	}
	s->bytes.parts += sizeof(part);
	s->bytes.count--;
	bytes = part.iov_len;
	s->walked = (__u64)part.iov_base + s->bytes.skip;
	bytes = bytes > s->bytes.skip ? bytes - s->bytes.skip : 0;
	s->bytes.skip = 0;
	left = s->bytes.limit - s->bytes.total;
	if (bytes > left)
		bytes = left;
	s->bytes.total += bytes;
	take_bytes(slot, bytes);
	return 0;
}
LOOP_STEP(next_part)

/* Takes the buffers of a struct iov_iter; false if they have no address. */
static __always_inline bool begin_iter(struct scratch *s, __u64 iter)
{
	enum iter_kind kind = iter_kind_of(iter);

	if (kind == ITER_OTHER)
		return false;
	s->bytes.skip = LOAD(iov_iter, iter, iov_offset);
	s->bytes.limit = LOAD(iov_iter, iter, count);
	if (kind == ITER_BUFFER) {
		s->walked = iter_buffer(iter) + s->bytes.skip;
		s->bytes.total = s->bytes.limit;
		return true;
	}
	s->bytes.parts = iter_parts(iter);
	s->bytes.count = LOAD(iov_iter, iter, nr_segs);
	return true;
}

/* A length; 0 for one below 0. */
static __always_inline __u64 length_of(__u8 type, __u64 raw)
{
	__u64 length = narrowed(type, raw);

	return is_signed(type) && (__s64)length < 0 ? 0 : length;
}

/* Writes the bytes of an argument as put_text does. */
static __always_inline __u32 put_bytes(__u32 slot, struct scratch *s, const volatile struct wanted_value *wanted,
				       struct value *v, __u32 at, __u64 argument)
{
	__u32 param = wanted->size, len;
	__u8 type = wanted->type;

	v->kind = VALUE_ERROR;
	v->len = 0;
	s->bytes.at = at + sizeof(*v) + sizeof(struct text_key);
	s->bytes.len = 0;
	s->bytes.unread = 0;
	s->bytes.total = 0;
	s->bytes.skip = 0;
	s->bytes.count = 0;
	s->bytes.limit = ~0ull;
	s->bytes.most = asks_bytes >= 2 && wanted->more && at <= DATA_BEGIN ? DATA_MAX : BYTES_MAX;
	if (wanted->returned != ARG_NOP) {
		if (s->call.returns != HOOK_HAS_RETURN)
			return sizeof(*v);
		s->bytes.limit = length_of(wanted->returned, s->call.returned);
	}
	if (type == ARG_IOV_ITER) {
		if (!argument || !begin_iter(s, argument))
			return sizeof(*v);
	} else {
		s->bytes.parts = s->walked = argument;
		if (type == ARG_CHAR_IOVEC)
			s->bytes.count = param < PARAMS_MAX ? length_of(wanted->size_type, s->call.params[param]) : 0;
		else
			s->bytes.total = param < PARAMS_MAX ? length_of(wanted->size_type, s->call.params[param]) : s->bytes.limit;
		if (s->bytes.total > s->bytes.limit)
			s->bytes.total = s->bytes.limit;
	}
	if (s->bytes.count)
		LOOP(PARTS_MAX, next_part, slot);
	else
		take_bytes(slot, s->bytes.total);
	len = s->bytes.len;
	if (s->bytes.unread) {
		/* As for texts, the pages are in memory at the return. But a struct iov_iter is then consumed. */
		if (type != ARG_IOV_ITER && s->call.returns & HOOK_RETURN_FOLLOWS && !s->call.at_once)
			s->call.unread = true;
		if (!len)
			return sizeof(*v);
		v->flags = VALUE_UNSTABLE;
	}
	if (len > DATA_MAX)
		return sizeof(*v);
	v->kind = VALUE_BYTES;
	v->len = len;
	len = sizeof(*v) + sizeof(struct text_key) + padded(len);
	at += len;
	barrier_var(at);
	if (at > RECORD_ROOM - (__u32)sizeof(__u64))
		return sizeof(*v);
	barrier_var(at);
	*(__u64 *)(s->record + at) = s->bytes.total;
	return len + sizeof(__u64);
}

#endif
