/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_PROCESS_TASK_H
#define KTRAIL_PROCESS_TASK_H

/* Credentials and namespaces of tasks. */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"

/* Also `filter.value` of CLASS_NAMESPACE. */
enum task_namespace {
	NAMESPACE_UTS,
	NAMESPACE_IPC,
	NAMESPACE_MNT,
	NAMESPACE_PID,
	NAMESPACE_PID_FOR_CHILDREN,
	NAMESPACE_NET,
	NAMESPACE_TIME,
	NAMESPACE_TIME_FOR_CHILDREN,
	NAMESPACE_CGROUP,
	NAMESPACE_USER,
};

/* `filter.value` of CLASS_CAPABILITY; its first number is a mask, its second a user namespace to which it does not apply. */
enum task_capabilities {
	CAPABILITIES_EFFECTIVE,
	CAPABILITIES_INHERITABLE,
	CAPABILITIES_PERMITTED,
};

enum privilege_limit {
	NAMESPACE_KINDS = NAMESPACE_USER + 1,
	CAPABILITY_KINDS = CAPABILITIES_PERMITTED + 1,
};

/* The inode number of the type's ns_common in a namespace at an address. */
#define INUM(type, address) LOAD(type, address, ns.inum)

static __always_inline __u64 cred_of(__u64 task)
{
	return (__u64)LOAD(task_struct, task, cred);
}

static __always_inline __u32 user_ns_of(__u64 task)
{
	__u64 ns = (__u64)LOAD(cred, cred_of(task), user_ns);

	return INUM(user_namespace, ns);
}

static __always_inline __u32 active_pid_ns(__u64 task)
{
	__u64 pid = (__u64)LOAD(task_struct, task, thread_pid), upid, ns;

	if (!pid)
		return 0;
	upid = MEMBER(pid, pid, numbers) + LOAD(pid, pid, level) * bpf_core_type_size(struct upid);
	ns = (__u64)LOAD(upid, upid, ns);
	return INUM(pid_namespace, ns);
}

/* 0 if the task has none, because it is exiting. */
static __always_inline __u32 namespace_of(__u64 task, __u8 which)
{
	__u64 proxy, ns;

	if (which == NAMESPACE_USER)
		return user_ns_of(task);
	if (which == NAMESPACE_PID)
		return active_pid_ns(task);
	proxy = (__u64)LOAD(task_struct, task, nsproxy);
	if (!proxy)
		return 0;
	switch (which) {
	case NAMESPACE_UTS:
		ns = (__u64)LOAD(nsproxy, proxy, uts_ns);
		return INUM(uts_namespace, ns);
	case NAMESPACE_IPC:
		ns = (__u64)LOAD(nsproxy, proxy, ipc_ns);
		return INUM(ipc_namespace, ns);
	case NAMESPACE_MNT:
		ns = (__u64)LOAD(nsproxy, proxy, mnt_ns);
		return INUM(mnt_namespace, ns);
	case NAMESPACE_PID_FOR_CHILDREN:
		ns = (__u64)LOAD(nsproxy, proxy, pid_ns_for_children);
		return INUM(pid_namespace, ns);
	case NAMESPACE_NET:
		ns = (__u64)LOAD(nsproxy, proxy, net_ns);
		return INUM(net, ns);
	case NAMESPACE_TIME:
		ns = (__u64)LOAD(nsproxy, proxy, time_ns);
		return INUM(time_namespace, ns);
	case NAMESPACE_TIME_FOR_CHILDREN:
		ns = (__u64)LOAD(nsproxy, proxy, time_ns_for_children);
		return INUM(time_namespace, ns);
	case NAMESPACE_CGROUP:
		ns = (__u64)LOAD(nsproxy, proxy, cgroup_ns);
		return INUM(cgroup_namespace, ns);
	}
	return 0;
}

static __always_inline __u64 capabilities_of(__u64 task, __u8 which)
{
	__u64 cred = cred_of(task), at, set = 0;

	if (which == CAPABILITIES_EFFECTIVE)
		at = MEMBER(cred, cred, cap_effective);
	else if (which == CAPABILITIES_INHERITABLE)
		at = MEMBER(cred, cred, cap_inheritable);
	else
		at = MEMBER(cred, cred, cap_permitted);
	/* Two words before 6.3, one since (kernel commit f122a08b197d): the same bytes. */
	bpf_probe_read_kernel(&set, sizeof(set), (void *)at);
	return set;
}

static __always_inline __u64 current_cred(void)
{
	return cred_of(bpf_get_current_task());
}

static __always_inline __u32 namespace_of_task(__u8 which)
{
	return namespace_of(bpf_get_current_task(), which);
}

#endif
