// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Takes the counts of call/aggregate.h. Loaded with the first policy that aggregates; it makes the map. User space cannot do it
 * by itself: calls that are counted between a read of an entry and its removal would be lost.
 */
#include "vmlinux/kernel.h"
#include "base/maps.h"
#include "base/path.h"
#include "frame/filter.h"
#include "frame/aggregate.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
char VERSION[] SEC("ktrail_version") = KTRAIL_VERSION;

MAP(ARRAY, aggregate_taken, __u32, struct taken_aggregate, 1);

/* Reads the count while a call is in progress, which has a few instructions left. */
#define WAIT_ROUNDS 4096

/* Run by the agent. Answers enum take_result. */
SEC("raw_tp") int aggregate_take(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 zero = 0, i;
	struct taken_aggregate *to = bpf_map_lookup_elem(&aggregate_taken, &zero);
	struct aggregate *a;
	__u64 before;

	if (!to)
		return TAKE_NONE;
	a = bpf_map_lookup_elem(&aggregates, &to->key);
	if (!a)
		return TAKE_NONE;
	before = __sync_fetch_and_or(&a->count, AGGREGATE_TAKEN);
	if (!(before & AGGREGATE_TAKEN))
		a->taken = before;
	for (i = 0; i < WAIT_ROUNDS; i++) {
		if (*(volatile __u64 *)&a->done == a->taken)
			break;
	}
	if (i == WAIT_ROUNDS)
		return TAKE_LATER;
	to->count = a->taken;
	to->total_bytes = a->total_bytes;
	to->last_ns = a->last_ns;
	bpf_map_delete_elem(&aggregates, &to->key);
	return TAKE_DONE;
}
