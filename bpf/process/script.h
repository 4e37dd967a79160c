/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_PROCESS_SCRIPT_H
#define KTRAIL_PROCESS_SCRIPT_H

/* The file that an exec led to: for a script the script, not its interpreter. */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "../event.h"
#include "../base/path.h"
#include "../base/path_text.h"
#include "scratch.h"

#define SCRIPT_MAGIC 0x2123      /* "#!", little endian */
#define SCRIPT_PATH_BYTES 1024   /* longer paths of scripts are not resolved */

/* A file that is executed: its whole path, no bytes where that is not known. */
struct executed {
	__u64 ino;
	__u32 links;
	__u32 tgid;
	__u32 len;
	__u32 reserved;
	char path[SCRIPT_PATH_BYTES];
};

/*
 * Scripts whose exec is under way, by its linux_binprm. The entry of a failed exec stays until the next exec at the same
 * address, or until others need its room. If an entry is gone too early, its script has no resolved path.
 */
MAP(LRU_HASH, scripts, __u64, struct executed, 512);

/*
 * Writes the identity of `file` into *ino and *links, and its path as the task sees it at an offset of the scratch. Returns its length; 0: not
 * known whole.
 */
static __always_inline __u32 put_executed(__u64 file, struct text_walk *w, __u32 at, __u64 *ino, __u32 *links)
{
	struct place place = place_of_path(MEMBER(file, file, f_path));
	__u64 inode = (__u64)LOAD(file, file, f_inode);
	__u16 flags = 0;
	__u32 len;

	*ino = LOAD(inode, inode, i_ino);
	*links = LOAD(inode, inode, i_nlink);
	len = put_path(0, w, place, at, &flags);
	if (flags & (VALUE_UNRESOLVED | VALUE_UNSTABLE))
		return 0;
	if (len)
		return len;
	barrier_var(at);
	if (at > scratch_bytes - PATH_BYTES)
		return 0;
	barrier_var(at);
	return put_memory_name(place.dentry, (char *)w + at);
}

/* Runs before the interpreter replaces the script in the linux_binprm. */
SEC("kprobe/security_bprm_check")
int BPF_KPROBE(process_script, struct linux_binprm *bprm)
{
	struct exec_scratch *s = exec_scratch();
	struct executed *script;
	__u64 key = (__u64)bprm;
	__u16 magic = 0;

	/* An interpreter may itself be a script; the first script is the named one. */
	if (!s || LOAD(linux_binprm, bprm, interp) != LOAD(linux_binprm, bprm, filename))
		return 0;
	bpf_map_delete_elem(&scripts, &key);
	bpf_probe_read_kernel(&magic, sizeof(magic), (void *)MEMBER(linux_binprm, bprm, buf));
	if (magic != SCRIPT_MAGIC)
		return 0;
	script = (struct executed *)s->text;
	script->tgid = bpf_get_current_pid_tgid() >> 32;
	script->len = put_executed((__u64)LOAD(linux_binprm, bprm, file), &s->walk, EXEC_TEXT + offsetof(struct executed, path), &script->ino, &script->links);
	if (script->len && script->len <= SCRIPT_PATH_BYTES)
		bpf_map_update_elem(&scripts, &key, script, BPF_ANY);
	return 0;
}

#endif
