/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_MATCH_PRIVILEGES_H
#define KTRAIL_MATCH_PRIVILEGES_H

/*
 * The namespaces and capabilities of a task. While policies ask for changes of them, those that each process had at its last fork or
 * exec are kept; those of processes that ran before are entered by user space (collector/kernel/conditions/privileges.ts).
 */

#include "../vmlinux/kernel.h"
#include "../process/task.h"

struct privileges {
	__u64 since_ns;  /* when the process had these; 1: user space has read them */
	__u64 capabilities[CAPABILITY_KINDS];
	__u32 namespaces[NAMESPACE_KINDS];
};

/* By tgid. User space lets it allocate what it holds where tracing programs may (6.1 on), else makes it smaller. */
MAP(HASH, privileges, __u32, struct privileges, 131072);

/* 1: policies ask for changes. */
MAP(ARRAY, privileges_wanted, __u32, __u32, 1);

static __always_inline void read_privileges(__u64 task, struct privileges *to)
{
	__u32 i;

	for (i = 0; i < CAPABILITY_KINDS; i++)
		to->capabilities[i] = capabilities_of(task, i);
	for (i = 0; i < NAMESPACE_KINDS; i++)
		to->namespaces[i] = namespace_of(task, i);
}

#endif
