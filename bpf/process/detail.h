/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_PROCESS_DETAIL_H
#define KTRAIL_PROCESS_DETAIL_H

/* Optional fields of a process: credentials and namespaces. */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "../event.h"
#include "task.h"

const volatile __u32 process_details = 0;

/* Writes the details of the calling task. */
static __always_inline void put_detail(struct process_detail *d)
{
	__u64 at = current_cred(), ns;

	*d = (struct process_detail){};
	if (!process_details)
		return;
	/* Before 6.3 each set is two words of 32 bits with the same bytes. */
	bpf_probe_read_kernel(&d->permitted, sizeof(__u64), (void *)MEMBER(cred, at, cap_permitted));
	bpf_probe_read_kernel(&d->effective, sizeof(__u64), (void *)MEMBER(cred, at, cap_effective));
	bpf_probe_read_kernel(&d->inheritable, sizeof(__u64), (void *)MEMBER(cred, at, cap_inheritable));
	d->uid = LOAD(cred, at, uid.val);
	d->gid = LOAD(cred, at, gid.val);
	d->euid = LOAD(cred, at, euid.val);
	d->egid = LOAD(cred, at, egid.val);
	d->suid = LOAD(cred, at, suid.val);
	d->sgid = LOAD(cred, at, sgid.val);
	d->fsuid = LOAD(cred, at, fsuid.val);
	d->fsgid = LOAD(cred, at, fsgid.val);
	d->securebits = LOAD(cred, at, securebits);
	ns = (__u64)LOAD(cred, at, user_ns);
	d->user_ns_level = LOAD(user_namespace, ns, level);
	d->user_ns_uid = LOAD(user_namespace, ns, owner.val);
	d->user_ns_gid = LOAD(user_namespace, ns, group.val);
	d->namespaces[NAMESPACE_UTS] = namespace_of_task(NAMESPACE_UTS);
	d->namespaces[NAMESPACE_IPC] = namespace_of_task(NAMESPACE_IPC);
	d->namespaces[NAMESPACE_MNT] = namespace_of_task(NAMESPACE_MNT);
	d->namespaces[NAMESPACE_PID] = namespace_of_task(NAMESPACE_PID);
	d->namespaces[NAMESPACE_PID_FOR_CHILDREN] = namespace_of_task(NAMESPACE_PID_FOR_CHILDREN);
	d->namespaces[NAMESPACE_NET] = namespace_of_task(NAMESPACE_NET);
	d->namespaces[NAMESPACE_TIME] = namespace_of_task(NAMESPACE_TIME);
	d->namespaces[NAMESPACE_TIME_FOR_CHILDREN] = namespace_of_task(NAMESPACE_TIME_FOR_CHILDREN);
	d->namespaces[NAMESPACE_CGROUP] = namespace_of_task(NAMESPACE_CGROUP);
	d->namespaces[NAMESPACE_USER] = INUM(user_namespace, ns);
}

#endif
