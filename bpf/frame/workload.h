/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_FRAME_WORKLOAD_H
#define KTRAIL_FRAME_WORKLOAD_H

/*
 * Conditions on where a task runs: in which pod and container, or outside of pods. They have bits beside those of processes
 * (process/conditions.h). A cgroup has its bits in a map that user space keeps (collector/identity/workloads.ts), and a call looks
 * up its own: nothing of it is kept with processes, so a move to another cgroup needs no care.
 *
 * A cgroup may have no entry: user space has yet to hear of it, the map was full, or it lies below a container's or a user's,
 * where none is entered. Then that of the nearest one above it counts, but for a name that root gave and that may be a pod's:
 * beyond one, what holds for processes of the host does not count.
 */

#include "../vmlinux/kernel.h"
#include "../process/conditions.h"

enum workload_kind {
	WORKLOAD_HOST,       /* outside of pods */
	WORKLOAD_POD,
	WORKLOAD_CONTAINER,  /* a container of a pod, with the cgroups below it */
};

struct workload {
	struct condition_set holds;
	__u32 kind;    /* enum workload_kind */
	__u32 partial;  /* 1: some conditions are not decided yet, because the pod or the container is not known */
};

/* By id of the cgroup (process/cgroup.h). Filled from user space only. */
MAP(HASH, workloads, __u64, struct workload, 16384);

/* 1: all controllers that count are on the unified hierarchy (cgroup_of). */
const volatile __u32 unified_cgroups = 0;

/*
 * Random, and another after each change of the map: user space draws it. For a cgroup, a program keeps its number, exclusive or this one
 * (call/workload.h). It has no meaning any more after the next change.
 */
volatile __u64 workload_change SEC(".data.change") = 0;

#endif
