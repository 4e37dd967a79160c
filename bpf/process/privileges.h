/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_PROCESS_PRIVILEGES_H
#define KTRAIL_PROCESS_PRIVILEGES_H

/*
 * The namespaces and capabilities of each process at its last fork or exec. They are kept while policies have filters on changes of them. User
 * space enters those of processes that ran before (collector/kernel/conditions/privileges.ts).
 */

#include "../vmlinux/kernel.h"
#include "../event.h"
#include "../base/maps.h"
#include "task.h"

struct privileges {
	__u64 since_ns;  /* time at which the process had these; 1: user space has read them */
	__u64 capabilities[CAPABILITY_KINDS];
	__u32 namespaces[NAMESPACE_KINDS];
};

/* By tgid. If tracing programs may allocate (6.1 on), user space makes the map grow; otherwise it is smaller. */
MAP(HASH, privileges, __u32, struct privileges, 131072);

/* 1: policies have filters on changes. */
MAP(ARRAY, privileges_wanted, __u32, __u32, 1);

static __always_inline void read_privileges(__u64 task, struct privileges *to)
{
	__u32 i;

	for (i = 0; i < CAPABILITY_KINDS; i++)
		to->capabilities[i] = capabilities_of(task, i);
	for (i = 0; i < NAMESPACE_KINDS; i++)
		to->namespaces[i] = namespace_of(task, i);
}

static __always_inline bool wants_privileges(void)
{
	__u32 zero = 0, *wanted = bpf_map_lookup_elem(&privileges_wanted, &zero);

	return wanted && *(volatile __u32 *)wanted;
}

/* Called at a fork or exec. A separate function, because all functions of a program share 512 bytes of stack. */
static __attribute__((unused)) __noinline int keep_privileges(__u64 task, __u32 tgid, __u64 now)
{
	struct privileges had = { .since_ns = now };

	if (!wants_privileges())
		return 0;
	read_privileges(task, &had);
	if (bpf_map_update_elem(&privileges, &tgid, &had, BPF_ANY))
		count(COUNTER_PROCESS_MAP_FULL);
	return 0;
}

static __always_inline void privileges_gone(__u32 tgid)
{
	if (wants_privileges())
		bpf_map_delete_elem(&privileges, &tgid);
}

#endif
