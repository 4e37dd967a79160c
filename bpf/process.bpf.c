// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Keeps the process table and reports every exec, fork and exit. Always loaded, and first: it makes the shared maps.
 *
 * A process is (tgid, start_ns): boot time of the fork or exec that made the image. An exec without a fork before it
 * makes a new image of the same pid, whose parent is the image before.
 */
#include "vmlinux/vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "core_fixes.h"
#include "event.h"

#include "maps.h"
#include "record.h"
#include "path.h"
#include "path_text.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define FILENAME_BYTES 4096
#define ARGV_BYTES 16384
#define CGROUP_BYTES 256
#define SCRIPT_MAGIC 0x2123      /* "#!", little endian */
#define SCRIPT_PATH_BYTES 1024   /* longer paths of scripts are not resolved */
#define SIGNAL_GROUP_EXIT 4      /* include/linux/sched/signal.h */

struct exec_scratch {
	struct event_header header;
	struct exec_body body;
	char text[FILENAME_BYTES + 2 * PATH_BYTES + 1024 + CGROUP_BYTES + ARGV_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct exec_scratch);
} exec_scratch SEC(".maps");

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
 * Scripts whose exec is under way, by its linux_binprm. Of an exec that fails an entry stays, until the next exec at the
 * same address or until others need its room; one that is gone too early costs a script its resolved path.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 512);
	__type(key, __u64);
	__type(value, struct executed);
} scripts SEC(".maps");

static __always_inline __u64 boot_ns(void)
{
	return bpf_ktime_get_boot_ns();
}

/* Pid as the process itself sees it; 0 when that is the host's. */
static __always_inline __u32 inner_pid(struct task_struct *task)
{
	/* A number and not a pointer: before 6.2 the verifier wants no arithmetic on typed ones. */
	__u64 pid = (__u64)BPF_CORE_READ(task, thread_pid);
	__u64 upid;
	__u32 level;

	if (!pid)
		return 0;
	level = LOAD(pid, pid, level);
	if (level == 0)
		return 0;
	upid = MEMBER(pid, pid, numbers) + level * bpf_core_type_size(struct upid);
	return LOAD(upid, upid, nr);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	struct {
		struct event_header header;
		struct fork_body body;
	} record = {};
	__u32 child_tgid = child->tgid, parent_tgid = parent->tgid;
	struct process *known, fresh = { .forked = 1 };

	if (child_tgid != child->pid) /* a thread */
		return 0;
	fresh.start_ns = boot_ns();
	fresh.parent_tgid = parent_tgid;
	known = bpf_map_lookup_elem(&processes, &parent_tgid);
	if (known)
		fresh.parent_start_ns = known->start_ns;
	if (bpf_map_update_elem(&processes, &child_tgid, &fresh, BPF_ANY))
		count(COUNTER_PROCESS_MAP_FULL);
	stamp(&record.header, EVENT_FORK, fresh.start_ns);
	record.header.tgid = child_tgid;
	record.header.tid = child_tgid;
	record.header.start_ns = fresh.start_ns;
	record.body.parent_start_ns = fresh.parent_start_ns;
	record.body.parent_tgid = parent_tgid;
	record.body.nspid = inner_pid(child);
	submit(&record.header, sizeof(record), sizeof(record), COUNTER_RING_FULL_PROCESS);
	return 0;
}

/* Into `text`; *len is its length. */
static __always_inline __u32 put_cwd(char *text, __u16 *len)
{
	__u64 fs = (__u64)BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), fs);
	struct place cwd;
	__u16 flags = 0;

	if (!fs)
		return PROCESS_ERROR_CWD;
	cwd = place_of_path(MEMBER(fs_struct, fs, pwd));
	if (!cwd.dentry)
		return PROCESS_ERROR_CWD;
	*len = put_path(0, cwd, text, &flags);
	if (flags & (VALUE_UNRESOLVED | VALUE_UNSTABLE))
		return PROCESS_ERROR_PATH_CWD;
	return *len ? 0 : PROCESS_ROOT_CWD;
}

/*
 * What `file` is, into *ino and *links, and its path as the task sees it, into `text`. Returns its length; 0: not known
 * whole.
 */
static __always_inline __u32 put_executed(__u64 file, char *text, __u64 *ino, __u32 *links)
{
	struct place at = place_of_path(MEMBER(file, file, f_path));
	__u64 inode = (__u64)LOAD(file, file, f_inode);
	__u16 flags = 0;
	__u32 len;
	long got;

	*ino = LOAD(inode, inode, i_ino);
	*links = LOAD(inode, inode, i_nlink);
	len = put_path(0, at, text, &flags);
	if (flags & (VALUE_UNRESOLVED | VALUE_UNSTABLE))
		return 0;
	if (len || (__u64)LOAD(dentry, at.dentry, d_parent) != at.dentry)
		return len;
	/* A file in memory (memfd) hangs in no tree: named as d_path does it (fs/d_path.c simple_dname). */
	text[0] = '/';
	got = bpf_probe_read_kernel_str(text + 1, 256, LOAD(dentry, at.dentry, d_name.name));
	if (got <= 1)
		return 0;
	len = got & 0x1ff;
	__builtin_memcpy(text + len, " (deleted)", DELETED_BYTES);
	return len + DELETED_BYTES;
}

/* Before the interpreter takes the script's place in the linux_binprm. */
SEC("kprobe/security_bprm_check")
int BPF_KPROBE(process_script, struct linux_binprm *bprm)
{
	__u32 zero = 0;
	struct exec_scratch *s = bpf_map_lookup_elem(&exec_scratch, &zero);
	struct executed *script;
	__u64 key = (__u64)bprm;
	__u16 magic = 0;

	/* An interpreter may be a script in its turn: the first is the one that was named. */
	if (!s || LOAD(linux_binprm, bprm, interp) != LOAD(linux_binprm, bprm, filename))
		return 0;
	bpf_map_delete_elem(&scripts, &key);
	bpf_probe_read_kernel(&magic, sizeof(magic), (void *)MEMBER(linux_binprm, bprm, buf));
	if (magic != SCRIPT_MAGIC)
		return 0;
	script = (struct executed *)s->text;
	script->tgid = bpf_get_current_pid_tgid() >> 32;
	script->len = put_executed((__u64)LOAD(linux_binprm, bprm, file), script->path, &script->ino, &script->links);
	if (script->len && script->len <= SCRIPT_PATH_BYTES)
		bpf_map_update_elem(&scripts, &key, script, BPF_ANY);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	__u32 zero = 0, at = 0, tgid = task->tgid, argv_len;
	struct exec_scratch *s = bpf_map_lookup_elem(&exec_scratch, &zero);
	struct process *known, fresh = {};
	struct exec_body *b;
	struct mm_struct *mm;
	struct kernfs_node *kn;
	unsigned long start, end;
	struct executed *script;
	__u64 now = boot_ns(), key;
	__u32 flags = PROCESS_EXECVE;
	long got;

	if (!s)
		return 0;
	b = &s->body;
	fresh.start_ns = now;
	known = bpf_map_lookup_elem(&processes, &tgid);
	if (known && known->forked) {
		flags |= PROCESS_CLONE;
		fresh.parent_tgid = known->parent_tgid;
		fresh.parent_start_ns = known->parent_start_ns;
	} else if (known) {
		fresh.parent_tgid = tgid;
		fresh.parent_start_ns = known->start_ns;
	} else {
		flags |= PROCESS_MISS;
		fresh.parent_tgid = task->real_parent->tgid;
		known = bpf_map_lookup_elem(&processes, &fresh.parent_tgid);
		if (known)
			fresh.parent_start_ns = known->start_ns;
	}
	if (bpf_map_update_elem(&processes, &tgid, &fresh, BPF_ANY))
		count(COUNTER_PROCESS_MAP_FULL);

	b->parent_start_ns = fresh.parent_start_ns;
	b->parent_tgid = fresh.parent_tgid;
	b->euid = task->cred->euid.val;
	b->auid = task->loginuid.val;
	b->nspid = inner_pid(task);
	b->mnt_ns = task->nsproxy->mnt_ns->ns.inum;
	b->pid_ns = task->nsproxy->pid_ns_for_children->ns.inum;
	b->user_ns = task->cred->user_ns->ns.inum;
	b->cgroup_id = bpf_get_current_cgroup_id();
	b->argc = bprm->argc;
	b->reserved = 0;

	b->filename_len = 0;
	got = bpf_probe_read_kernel_str(s->text, FILENAME_BYTES, bprm->filename);
	if (got > 0)
		b->filename_len = got - 1;
	else
		flags |= PROCESS_ERROR_FILENAME;
	at = padded(b->filename_len & (FILENAME_BYTES - 1));

	b->cwd_len = 0;
	flags |= put_cwd(s->text + at, &b->cwd_len);
	at += padded(b->cwd_len & (2 * PATH_BYTES - 1));
	if (at > FILENAME_BYTES + PATH_BYTES + 256)
		return 0;

	b->cgroup_len = 0;
	kn = task->cgroups->dfl_cgrp->kn;
	got = bpf_probe_read_kernel_str(s->text + at, CGROUP_BYTES, kn->name);
	if (got > 0)
		b->cgroup_len = got - 1;
	else
		flags |= PROCESS_ERROR_CGROUP_NAME;
	at += padded(b->cgroup_len & (CGROUP_BYTES - 1));
	if (at > FILENAME_BYTES + PATH_BYTES + 512)
		return 0;

	b->path_len = 0;
	b->file_ino = 0;
	b->file_links = 1;
	key = (__u64)bprm;
	if (bprm->interp == bprm->filename) {
		b->path_len = put_executed((__u64)bprm->file, s->text + at, &b->file_ino, &b->file_links);
	} else {
		script = bpf_map_lookup_elem(&scripts, &key);
		if (script && script->tgid == tgid) {
			b->file_ino = script->ino;
			b->file_links = script->links;
			b->path_len = script->len;
			bpf_probe_read_kernel(s->text + at, SCRIPT_PATH_BYTES, script->path);
			bpf_map_delete_elem(&scripts, &key);
		}
	}
	at += padded(b->path_len & (2 * PATH_BYTES - 1));
	barrier_var(at); /* as below */
	if (at > FILENAME_BYTES + 2 * PATH_BYTES + 1024)
		return 0;

	argv_len = 0;
	mm = task->mm;
	if (mm) {
		start = mm->arg_start;
		end = mm->arg_end;
		argv_len = ARGV_BYTES;
		if (end - start <= ARGV_BYTES)
			argv_len = end - start;
		else
			flags |= PROCESS_TRUNC_ARGS;
		barrier_var(argv_len); /* else clang drops or merges the bound that the verifier wants to see */
		if (argv_len > ARGV_BYTES)
			return 0;
		if (bpf_probe_read_user(s->text + at, argv_len, (void *)start)) {
			flags |= PROCESS_ERROR_ARGS;
			argv_len = 0;
		}
	}
	b->argv_len = argv_len;
	b->flags = flags;

	stamp(&s->header, EVENT_EXEC, now);
	s->header.nargs = 0;
	s->header.start_ns = now;
	s->header.hook_id = 0;
	s->header.selector = 0;
	s->header.flags = 0;
	at += sizeof(s->header) + sizeof(*b) + argv_len;
	submit(&s->header, at, sizeof(*s), COUNTER_RING_FULL_PROCESS);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	struct {
		struct event_header header;
		struct exit_body body;
	} record = {};
	struct signal_struct *signal = task->signal;
	__u32 tgid = task->tgid;
	struct process *known;

	/* The last thread reports. Two that end together may both see 0: the delete lets one through. */
	if (signal->live.counter != 0)
		return 0;
	known = bpf_map_lookup_elem(&processes, &tgid);
	if (known)
		record.header.start_ns = known->start_ns;
	if (bpf_map_delete_elem(&processes, &tgid))
		return 0;
	record.body.code = signal->flags & SIGNAL_GROUP_EXIT ? signal->group_exit_code : task->group_leader->exit_code;
	stamp(&record.header, EVENT_EXIT, boot_ns());
	submit(&record.header, sizeof(record), sizeof(record), COUNTER_RING_FULL_PROCESS);
	return 0;
}
