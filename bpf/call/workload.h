/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_CALL_WORKLOAD_H
#define KTRAIL_CALL_WORKLOAD_H

/* The place where the task of a call runs, for selectors with conditions on it (frame/workload.h). */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "../event.h"
#include "../base/maps.h"
#include "../frame/filter.h"
#include "../match/set.h"
#include "../process/cgroup.h"
#include "../frame/workload.h"
#include "../frame/hook.h"
#include "../frame/scratch.h"

/* A cgroup. */
struct numbered {
	__u64 number;  /* unique, and never used again */
	__u64 id;
};

/* The task's, on the unified hierarchy. */
static __always_inline struct numbered current_cgroup(void)
{
#ifdef KTRAIL_TYPED
	/* Reads the cgroup without a helper, and its number without a load that may fault. */
	struct cgroup *cgroup = bpf_get_current_task_btf()->cgroups->dfl_cgrp;

	return (struct numbered){ cgroup->self.serial_nr, cgroup->kn->id };
#else
	__u64 id = bpf_get_current_cgroup_id();

	return (struct numbered){ id, id };
#endif
}

#define NAME_PART 7  /* bytes of a name that are read at a time; a NUL follows them */
#define POD_LETTERS 0x646f70  /* "pod" */

/*
 * Whether the name of a cgroup may be a pod's: kubelet's names contain `pod` and a uid or a hash (collector/process/cgroup-names.ts). Names of
 * other containers do not, so their processes count as host before user space knows them.
 */
__noinline int may_name_pod(__u64 name)
{
	__u64 part;
	__u32 at, i;
	long got;
	__u8 digit;

	/* Each part holds `pod` and a digit at four places; the next one begins at the fifth. */
	_Pragma("nounroll")
	for (at = 0; at < CGROUP_NAME_BYTES; at += NAME_PART - 3) {
		part = 0;
		got = bpf_probe_read_kernel_str(&part, sizeof(part), (void *)(name + at));
		if (got < 0)
			return true;
		for (i = 0; i <= NAME_PART - 4; i++, part >>= 8) {
			digit = part >> 24;
			if ((part & 0xffffff) == POD_LETTERS &&
			    ((digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f')))
				return true;
		}
		if (got <= NAME_PART)
			break;
	}
	return false;
}

/* The entry that applies to a cgroup; 0: it is unknown. Counts the call if anything is unknown. `earlier`: see number_after. */
static __always_inline struct workload *workload_above(__u64 cgroup, __u64 earlier)
{
	struct workload *found = 0;
	bool beyond = false;
	__u64 id, node;
	__u32 level;

	_Pragma("nounroll")
	for (level = 0; level < CGROUP_LEVELS; level++) {
		if (!cgroup)
			break;
		id = number_after(cgroup_id(cgroup), earlier);
		found = bpf_map_lookup_elem(&workloads, &id);
		if (found)
			break;
		node = (__u64)LOAD(cgroup, cgroup, kn);
		if (!beyond && may_name_pod(as_number(LOAD(kernfs_node, node, name))) && named_by_root(cgroup))
			beyond = true;
		cgroup = cgroup_above(cgroup);
	}
	if (found && found->kind == WORKLOAD_HOST && beyond)
		found = 0;
	if (!found || found->partial)
		count(COUNTER_WORKLOAD_UNKNOWN);
	return found;
}

/*
 * If all selectors of a function have workload conditions, most calls come from other cgroups. The function remembers these,
 * so that the next call from there ends before anything else is done. An entry has the last cgroup with its hash; the map
 * decides about the others.
 */
#define ELSEWHERE_BITS 9

static __u64 elsewhere[HOOK_SLOTS][1 << ELSEWHERE_BITS];

/* Hashed: cgroup numbers lie at equal distances, as their files and controllers have some too. */
static __always_inline __u64 *elsewhere_at(__u32 slot, __u64 number)
{
	return &elsewhere[slot][((__u32)number * 0x9e3779b1u) >> (32 - ELSEWHERE_BITS)];
}

/* Whether no selector can match, because the task's cgroup fulfils none of their conditions. */
static __always_inline bool is_elsewhere(__u32 slot)
{
	__u64 number;

	if (!unified_cgroups)
		return false;
	number = current_cgroup().number;
	return *elsewhere_at(slot, number) == (number ^ workload_change);
}

/*
 * Stores the conditions that the task's cgroup `id` fulfils in the scratch, if its entry is missing or partial. True if they stay until the next
 * change of the map. `id` depends on what was read before (number_after).
 */
__noinline int find_workload(__u32 slot, __u64 id)
{
	__u64 cgroup = cgroup_of(bpf_get_current_task());
	struct scratch *s = scratch_of(slot);
	struct workload *found;
	__u32 w;

	if (!s)
		return false;
	found = workload_above(cgroup, id);
	for (w = 0; w < SET_WORDS; w++)
		s->conditions[w] = found ? found->holds.bits[w] : 0;
	if (!found)
		return false;
	/* The host's may change with the owner of a cgroup above; the task may have moved. */
	return !found->partial && found->kind != WORKLOAD_HOST && cgroup_id(cgroup) == id;
}

/* Puts the conditions that the task's cgroup fulfils into the scratch. True if they stay so until the next change of the map. */
static __always_inline bool ask_workload(struct scratch *s, __u32 slot, __u64 id)
{
	struct workload *known = bpf_map_lookup_elem(&workloads, &id);
	__u32 w;

	if (!known || known->partial)
		return find_workload(slot, id);
	for (w = 0; w < SET_WORDS; w++) {
		if (hooks[slot].condition_words >> w & 1)
			s->conditions[w] = known->holds.bits[w];
	}
	return true;
}

/* False when no selector can match, because the task runs elsewhere. Then the function remembers it. */
static __always_inline bool screen_workload(__u32 slot, struct scratch *s)
{
	const volatile struct hook *hook = &hooks[slot];
	__u64 change = workload_change;
	struct numbered cgroup = {};
	bool lasts;

	if (unified_cgroups)
		cgroup = current_cgroup();
	else
		cgroup.id = cgroup_id(cgroup_of(bpf_get_current_task()));
	lasts = ask_workload(s, slot, number_after(cgroup.id, change));
	if (hook->workloads == EMPTY_SET || set_meets(s->conditions, hook->condition_words, hook->workloads))
		return true;
	if (lasts && unified_cgroups)
		*elsewhere_at(slot, cgroup.number) = cgroup.number ^ change;
	return false;
}

#endif
