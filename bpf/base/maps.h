/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_BASE_MAPS_H
#define KTRAIL_BASE_MAPS_H

/* Maps that every object of the agent shares: made by process.bpf.o, handed to the others by user space. */

#include "../vmlinux/kernel.h"
#include "../event.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} ring SEC(".maps");

/* Counters of one CPU. The sequence moves also for a record that the ring refuses: the gap shows the lost ones. */
struct cpu_state {
	__u64 seq;
	__u64 counters[COUNTER_MAX];
};

MAP(PERCPU_ARRAY, cpu_state, __u32, struct cpu_state, 1);

/* Processes by host tgid. User space seeds it from /proc with BPF_NOEXIST, so a hook's entry always wins. */
struct process {
	__u64 start_ns;         /* boot time of the fork or exec that made the image: half of its key */
	__u64 parent_start_ns;
	__u32 parent_tgid;
	__u32 forked;           /* 1 between a fork and the exec that may follow */
	__u64 cgroup_id;        /* id of its cgroup (process/cgroup.h); 0 = unknown */
};

/* If tracing programs may allocate (6.1 on), user space makes the map grow; otherwise it takes 10 MiB at once. */
MAP(HASH, processes, __u32, struct process, 131072);

/* Raised by each fork, exec and exit, after it changed `processes`. User space cannot write it. */
MAP(ARRAY, process_changes, __u32, __u64, 1);

static __always_inline void count(enum counter which)
{
	__u32 zero = 0;
	struct cpu_state *state = bpf_map_lookup_elem(&cpu_state, &zero);

	if (state && which < COUNTER_MAX)
		__sync_fetch_and_add(&state->counters[which], 1);
}

#endif
