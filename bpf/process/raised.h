/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_PROCESS_RAISED_H
#define KTRAIL_PROCESS_RAISED_H

/* Execs whose file gave a process another user, another group or more capabilities. */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "../event.h"
#include "task.h"

/* Bits of enum raised of the execs under way, by linux_binprm. */
MAP(LRU_HASH, raising, __u64, __u32, 512);

/* The last hook that sees the old and the new credentials. Attached only if credentials are requested. */
SEC("kprobe/security_bprm_committing_creds")
int BPF_KPROBE(process_raise, struct linux_binprm *bprm)
{
	__u64 key = (__u64)bprm, before = current_cred(), after, had, has;
	__u32 bits = 0, uid, gid, euid, egid;

	/* Set for files that are set-user-id, set-group-id or have capabilities, where the mount allows that. */
	if (!LOAD(linux_binprm, bprm, per_clear))
		return 0;
	after = (__u64)LOAD(linux_binprm, bprm, cred);
	uid = LOAD(cred, after, uid.val);
	gid = LOAD(cred, after, gid.val);
	euid = LOAD(cred, after, euid.val);
	egid = LOAD(cred, after, egid.val);
	if (euid != uid)
		bits |= euid ? RAISED_SETUID : RAISED_SETUID | RAISED_SETUID_ROOT;
	if (egid != gid)
		bits |= egid ? RAISED_SETGID : RAISED_SETGID | RAISED_SETGID_ROOT;
	bpf_probe_read_kernel(&had, sizeof(had), (void *)MEMBER(cred, before, cap_permitted));
	bpf_probe_read_kernel(&has, sizeof(has), (void *)MEMBER(cred, after, cap_permitted));
	/* Capabilities that come with another user are not the file's. A file that gives capabilities takes the ambient ones away. */
	if (euid == uid && (has & ~had)) {
		bpf_probe_read_kernel(&had, sizeof(had), (void *)MEMBER(cred, after, cap_ambient));
		if (!had)
			bits |= RAISED_FILE_CAPABILITIES;
	}
	if (bits)
		bpf_map_update_elem(&raising, &key, &bits, BPF_ANY);
	return 0;
}

/* Takes the bits of an exec that is done. */
static __always_inline __u32 take_raised(__u64 bprm)
{
	__u32 *found = bpf_map_lookup_elem(&raising, &bprm), bits = found ? *found : 0;

	if (found)
		bpf_map_delete_elem(&raising, &bprm);
	return bits;
}

#endif
