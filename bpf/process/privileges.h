/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_PROCESS_PRIVILEGES_H
#define KTRAIL_PROCESS_PRIVILEGES_H

/* Keeps the privileges of processes, while policies ask for changes of them. */

#include "../vmlinux/kernel.h"
#include "../event.h"
#include "../maps.h"
#include "../match/privileges.h"

static __always_inline bool wants_privileges(void)
{
	__u32 zero = 0, *wanted = bpf_map_lookup_elem(&privileges_wanted, &zero);

	return wanted && *(volatile __u32 *)wanted;
}

/* At a fork or exec. By itself: all functions of a program share 512 bytes of stack. */
static __noinline int keep_privileges(__u64 task, __u32 tgid, __u64 now)
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
