/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_ELSEWHERE_H
#define KTRAIL_ELSEWHERE_H

/*
 * Where all selectors of a function ask where the task runs (match/workload.h), most calls are those of tasks that run elsewhere. A function
 * remembers their cgroups, so that the next call from there ends before anything else is done. A place has the last cgroup that needed it; the
 * others are judged by the map.
 */
#define ELSEWHERE_BITS 9

static __u64 elsewhere[HOOK_SLOTS][1 << ELSEWHERE_BITS];

/* The numbers of cgroups lie at equal distances: each of their files or controllers has one too. */
static __always_inline __u64 *elsewhere_at(__u32 slot, __u64 number)
{
	return &elsewhere[slot][((__u32)number * 0x9e3779b1u) >> (32 - ELSEWHERE_BITS)];
}

/* Whether no selector can match, because the task's cgroup fulfils nothing that they ask for. */
static __always_inline bool is_elsewhere(__u32 slot)
{
	__u64 number;

	if (!unified_cgroups)
		return false;
	number = current_cgroup().number;
	return *elsewhere_at(slot, number) == (number ^ workload_change);
}

#endif
