/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_PROCESS_DATA_H
#define KTRAIL_PROCESS_DATA_H

/* Data of an exec for which its record has no room: EVENT_DATA records in front of it. */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "../event.h"
#include "../base/record.h"
#include "scratch.h"

#define DATA_BYTES 16384
#define ARGV_RECORDS 20   /* with the exec record, up to 344,064 bytes; Tetragon reads 327,360 */
#define ENV_RECORDS 2

/* 1: also the environment. */
const volatile __u32 process_environment = 0;
/* Bytes in the ring above which the rest is left out, because a program chooses its arguments, and other records need the room. */
const volatile __u64 ring_data_limit = ~0ull;

struct data_record {
	struct event_header header;
	struct data_body body;
	char bytes[DATA_BYTES];
};
/* The path uses the scratch of the exec record, which is written later. */
_Static_assert(offsetof(struct exec_scratch, header) + sizeof(struct data_record) <= sizeof(struct exec_scratch), "the scratch has room");
_Static_assert(DATA_BYTES == ARGV_BYTES, "the exec record has as much of the arguments");

/* Sends `len` bytes of the program's memory from `from` on, in at most `records` records. */
__noinline int send_data(__u64 start_ns, __u64 from, __u64 len, __u32 of, __u32 records)
{
	struct exec_scratch *s = exec_scratch();
	struct data_record *r;
	__u32 i, at, size;

	if (!s)
		return 0;
	r = (struct data_record *)&s->header;
	_Pragma("nounroll")
	for (i = 0; i < ARGV_RECORDS; i++) {
		at = i * DATA_BYTES; /* a constant for the verifier: it need not track the bytes sent in earlier rounds */
		if (i >= records || at >= len || bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > ring_data_limit)
			break;
		size = len - at < DATA_BYTES ? len - at : DATA_BYTES;
		barrier_var(size); /* else clang drops the bound that the verifier needs */
		if (size > DATA_BYTES || bpf_probe_read_user(r->bytes, size, (void *)(from + at)))
			break;
		r->header = (struct event_header){};
		r->body = (struct data_body){ .of = of, .at = at };
		stamp(&r->header, EVENT_DATA, start_ns, bpf_get_current_pid_tgid());
		r->header.start_ns = start_ns;
		if (!submit(&r->header, sizeof(r->header) + sizeof(r->body) + size, sizeof(*r), COUNTER_RING_FULL_PROCESS))
			break;
	}
	return 0;
}

/* Sends the data for which the exec record has no room. The calling task has just executed. */
__noinline int send_long(__u64 start_ns)
{
	__u64 task = bpf_get_current_task(), mm = (__u64)LOAD(task_struct, task, mm), from, len;

	if (!mm)
		return 0;
	from = LOAD(mm_struct, mm, arg_start);
	len = LOAD(mm_struct, mm, arg_end) - from;
	if (len > DATA_BYTES)
		send_data(start_ns, from + DATA_BYTES, len - DATA_BYTES, DATA_ARGV, ARGV_RECORDS);
	if (!process_environment)
		return 0;
	from = LOAD(mm_struct, mm, env_start);
	len = LOAD(mm_struct, mm, env_end) - from;
	send_data(start_ns, from, len, DATA_ENV, ENV_RECORDS);
	return 0;
}

#endif
