/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_WORKLOAD_H
#define KTRAIL_WORKLOAD_H

/*
 * Conditions on where a task runs: in which pod and container, or outside of pods. They have bits beside those of processes
 * (match/process.h). A cgroup has its bits in a map that user space keeps (collector/identity/workloads.ts), and a call looks
 * up its own: nothing of it is kept with processes, so a move to another cgroup needs no care.
 *
 * A cgroup may have no entry: user space has yet to hear of it, the map was full, or it lies below a container's or a user's,
 * where none is entered. Then that of the nearest one above it counts. But a long name that root gave may be a pod's or a
 * container's: beyond one, what holds for processes of the host does not count.
 */

enum workload_kind {
	WORKLOAD_HOST,       /* not in a pod */
	WORKLOAD_POD,
	WORKLOAD_CONTAINER,  /* of a pod: all below is the same */
};

struct workload {
	struct condition_set holds;
	__u32 kind;    /* enum workload_kind */
	__u32 partial;  /* 1: some conditions are not judged yet: the pod or the container is not known */
};

/* By id of the cgroup (process/cgroup.h). Filled from user space only. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct workload);
} workloads SEC(".maps");

/* 1: all controllers that count are on the unified hierarchy (cgroup_of). */
const volatile __u32 unified_cgroups = 0;

/*
 * Random, and another after each change of the map: user space draws it. What a program remembers of a cgroup (call/elsewhere.h) is its number,
 * exclusive or this one: it has no meaning any more after the next change.
 */
volatile __u64 workload_change SEC(".data.change") = 0;

/* The same key. A processor can look it up only when it has read the other number: else arm64 may take what the map was before. */
static __always_inline __u64 key_after(__u64 key, __u64 earlier)
{
	asm volatile("%0 ^= %1\n%0 ^= %1" : "+r"(key) : "r"(earlier));
	return key;
}

/* A cgroup. */
struct numbered {
	__u64 number;  /* which no other has or gets */
	__u64 id;
};

/* The task's, on the unified hierarchy. */
static __always_inline struct numbered current_cgroup(void)
{
#ifdef KTRAIL_TYPED
	/* Without a helper, and the number without a load that may fault. */
	struct cgroup *cgroup = bpf_get_current_task_btf()->cgroups->dfl_cgrp;

	return (struct numbered){ cgroup->self.serial_nr, cgroup->kn->id };
#else
	__u64 id = bpf_get_current_cgroup_id();

	return (struct numbered){ id, id };
#endif
}

static __always_inline bool may_name_workload(__u64 cgroup)
{
	__u64 node = (__u64)LOAD(cgroup, cgroup, kn);
	char name[CGROUP_NAME_SHORTEST + 1];

	return bpf_probe_read_kernel_str(name, sizeof(name), LOAD(kernfs_node, node, name)) == sizeof(name);
}

/* The entry that counts for a cgroup; 0: nothing is known. Counts a call of which something is not known. `earlier`: see key_after. */
static __always_inline struct workload *workload_above(__u64 cgroup, __u64 earlier)
{
	__u64 id;
	struct workload *found = 0;
	bool beyond = false;
	__u32 level;

	_Pragma("nounroll")
	for (level = 0; level < CGROUP_LEVELS; level++) {
		if (!cgroup)
			break;
		id = key_after(cgroup_id(cgroup), earlier);
		found = bpf_map_lookup_elem(&workloads, &id);
		if (found)
			break;
		if (may_name_workload(cgroup) && named_by_root(cgroup))
			beyond = true;
		cgroup = cgroup_above(cgroup);
	}
	if (found && found->kind == WORKLOAD_HOST && beyond)
		found = 0;
	if (!found || found->partial)
		count(COUNTER_WORKLOAD_UNKNOWN);
	return found;
}

#endif
