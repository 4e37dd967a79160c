/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_PROCESS_CGROUP_H
#define KTRAIL_PROCESS_CGROUP_H

/*
 * The place of a process in the tree of cgroups, and the names above it that may be a container's or a pod's.
 * User space decides which of them is one (collector/process/cgroup-names.ts).
 */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "../event.h"

#define CGROUP_HIERARCHY_SHIFT 56
#define CGROUP_LEVELS 16         /* programs in a container add few levels; systemd adds five */
#define CGROUP_NAMES 4
#define CGROUP_NAME_BYTES 256    /* NAME_MAX and the NUL */
#define CGROUP_NAME_SHORTEST 35  /* bytes of `pod` and 32 digits, the cgroup of a static pod; a container's id has 64 */
#define CGROUP_BYTES (CGROUP_NAMES * CGROUP_NAME_BYTES)

/* The cgroup in which controller `id` keeps the process, when that is on a hierarchy of its own (v1), and not its root. */
#define OWN_CGROUP(set, dfl, id)                                                                                        \
	({                                                                                                              \
		__u64 css = 0, own = 0;                                                                                 \
		if (bpf_core_enum_value_exists(enum cgroup_subsys_id, id)) {                                            \
			bpf_probe_read_kernel(&css, sizeof(css),                                                        \
					      (void *)(MEMBER(css_set, set, subsys) +                                   \
						       8 * bpf_core_enum_value(enum cgroup_subsys_id, id)));            \
			own = css ? (__u64)LOAD(cgroup_subsys_state, css, cgroup) : 0;                                  \
			if (own && (LOAD(cgroup, own, root) == LOAD(cgroup, dfl, root) || !LOAD(cgroup, own, level)))   \
				own = 0;                                                                                \
		}                                                                                                       \
		own;                                                                                                    \
	})

/* The task's: on v1 and hybrid hosts by the controllers that Tetragon takes, else the unified one. As in procfs.ts. */
static __always_inline __u64 cgroup_of(__u64 task)
{
	__u64 set = (__u64)LOAD(task_struct, task, cgroups);
	__u64 dfl = (__u64)LOAD(css_set, set, dfl_cgrp), own;

	own = OWN_CGROUP(set, dfl, memory_cgrp_id);
	if (!own)
		own = OWN_CGROUP(set, dfl, pids_cgrp_id);
	if (!own)
		own = OWN_CGROUP(set, dfl, cpuset_cgrp_id);
	return own ? own : dfl;
}

static __always_inline __u64 cgroup_id(__u64 cgroup)
{
	__u64 node = (__u64)LOAD(cgroup, cgroup, kn), root = (__u64)LOAD(cgroup, cgroup, root);

	/* Each v1 hierarchy numbers cgroups from 1; the unified one is 0. */
	return LOAD(kernfs_node, node, id) ^ (__u64)LOAD(cgroup_root, root, hierarchy_id) << CGROUP_HIERARCHY_SHIFT;
}

/* The cgroup above; 0 for a root. */
static __always_inline __u64 cgroup_above(__u64 cgroup)
{
	__u64 css = (__u64)LOAD(cgroup, cgroup, self.parent);

	return css ? (__u64)LOAD(cgroup_subsys_state, css, cgroup) : 0;
}

/*
 * Whether only root can have made and named the cgroup, because the cgroup above it belongs to root. A user with a delegated cgroup (systemd gives
 * one to each
 * user) makes cgroups below it with any names, a pod's and a container's too.
 */
static __always_inline bool named_by_root(__u64 cgroup)
{
	__u64 above = cgroup_above(cgroup), node, attributes;

	if (!above)
		return true;
	node = (__u64)LOAD(cgroup, above, kn);
	attributes = (__u64)LOAD(kernfs_node, node, iattr);  /* NULL until an attribute is set */
	return !attributes || !LOAD(kernfs_iattrs, attributes, ia_uid.val);
}

/*
 * Names of at least CGROUP_NAME_SHORTEST, those nearest to the process first, each with its NUL, into `text` of CGROUP_BYTES;
 * with `own` also a shorter one of the cgroup itself. *len is their length, *state an enum cgroup_state. False when the name
 * of the cgroup itself could not be read.
 */
static __always_inline bool put_cgroup(__u64 cgroup, bool own, char *text, __u16 *len, __u16 *state)
{
	__u32 at = 0, level;
	bool known = true;
	__u64 node;
	long got;

	_Pragma("nounroll")
	for (level = 0; level < CGROUP_LEVELS; level++) {
		if (!cgroup || at > CGROUP_BYTES - CGROUP_NAME_BYTES)
			break;
		node = (__u64)LOAD(cgroup, cgroup, kn);
		got = bpf_probe_read_kernel_str(text + at, CGROUP_NAME_BYTES, LOAD(kernfs_node, node, name));
		if ((got > CGROUP_NAME_SHORTEST || (own && !level && got > 0)) && got <= CGROUP_NAME_BYTES)
			at += got;
		if (!level)
			known = got > 0;
		cgroup = cgroup_above(cgroup);
	}
	*len = at;
	*state = cgroup ? CGROUP_CUT : CGROUP_WHOLE;
	return known;
}

#endif
