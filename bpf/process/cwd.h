/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_PROCESS_CWD_H
#define KTRAIL_PROCESS_CWD_H

/* The working directory of the calling task. */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "../event.h"
#include "../base/path.h"
#include "../base/path_text.h"

/* Writes it at an offset of the scratch; *len is its length. */
static __always_inline __u32 put_cwd(struct text_walk *w, __u32 at, __u16 *len)
{
	__u64 fs = (__u64)BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), fs);
	struct place cwd;
	__u16 flags = 0;

	if (!fs)
		return PROCESS_ERROR_CWD;
	cwd = place_of_path(MEMBER(fs_struct, fs, pwd));
	if (!cwd.dentry)
		return PROCESS_ERROR_CWD;
	*len = put_path(0, w, cwd, at, &flags);
	if (flags & (VALUE_UNRESOLVED | VALUE_UNSTABLE))
		return PROCESS_ERROR_PATH_CWD;
	return *len ? 0 : PROCESS_ROOT_CWD;
}

#endif
