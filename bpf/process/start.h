/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_PROCESS_START_H
#define KTRAIL_PROCESS_START_H

#include "../vmlinux/kernel.h"
#include "../base/maps.h"

/*
 * The start of a calling process, by its entry in `processes`. Records come in runs of one process, so the start of the last one is kept, until any
 * process forks, executes or exits: a look-up takes 138 instructions.
 */
struct known_start {
	__u64 changes;  /* `process_changes` before the look-up */
	__u64 start_ns;
	__u32 tgid;
	__u32 reserved;
};

/* After a change of `processes`. */
static __always_inline void processes_changed(void)
{
	__u32 zero = 0;
	__u64 *changes = bpf_map_lookup_elem(&process_changes, &zero);

	if (changes)
		__sync_fetch_and_add(changes, 1);
}

/* In boot time; 0 if the process has no entry. A process's calls come after its fork and exec, on any CPU, so no call has an older start. */
static __always_inline __u64 start_of(struct known_start *known, __u32 tgid)
{
	__u32 zero = 0;
	__u64 *changes = bpf_map_lookup_elem(&process_changes, &zero), before;
	struct process *process;

	if (!changes)
		return 0;
	before = *(volatile __u64 *)changes;
	if (known->tgid == tgid && known->changes == before)
		return known->start_ns;
	process = bpf_map_lookup_elem(&processes, &tgid);
	/* User space may yet enter it. */
	if (!process)
		return 0;
	known->changes = before;
	known->tgid = tgid;
	known->start_ns = process->start_ns;
	return known->start_ns;
}

#endif
