/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_FRAME_AGGREGATE_H
#define KTRAIL_FRAME_AGGREGATE_H

/* Common parts of call/aggregate.h, which counts, and aggregate.bpf.c, which takes the counts. */

#include "../vmlinux/kernel.h"
#include "filter.h"

#define AGGREGATE_TAKEN (1ull << 63)

enum aggregated {
	CALL_ALONE,    /* the call has a record of its own */
	CALL_BEGINS,   /* its record is also the record of the following calls */
	CALL_COUNTED,
};

struct aggregate {
	__u64 count;    /* calls; AGGREGATE_TAKEN: further ones are not counted */
	__u64 done;     /* calls that have added their bytes and time */
	__u64 total_bytes; /* sum of positive return values */
	__u64 last_ns;  /* time of the last call */
	__u64 sent;     /* 1: the record of the first call is in the ring */
	__u64 taken;    /* `count` at the moment it was taken */
};

/* Request of user space to aggregate.bpf.c, and its answer. */
struct taken_aggregate {
	struct repeat_key key;
	__u64 count;
	__u64 total_bytes;
	__u64 last_ns;
};

enum take_result {
	TAKE_NONE,   /* there is no such aggregate */
	TAKE_DONE,
	TAKE_LATER,  /* a counted call still adds its bytes; further calls are not counted */
};

/* By policy_hook, tgid, and hash of the image and the compared values of the call. If it is full, calls have records of their own. */
MAP(HASH, aggregates, struct repeat_key, struct aggregate, 16384);

#endif
