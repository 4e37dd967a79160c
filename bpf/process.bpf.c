// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Keeps the process table and reports every exec, fork and exit. Always loaded, and first: it makes the shared maps.
 *
 * A process is (tgid, start_ns): boot time of the fork or exec that made the image. An exec without a fork before it
 * makes a new image of the same pid, whose parent is the image before.
 */
#include "vmlinux/kernel.h"
#include "event.h"
#include "base/maps.h"
#include "call/deny.h"
#include "base/record.h"
#include "base/path.h"
#include "process/missing.h"
#include "process/cgroup.h"
#include "frame/workload.h"
#include "process/image.h"
#include "process/start.h"
#include "process/cwd.h"
#include "process/detail.h"
#include "process/privileges.h"
#include "process/scratch.h"
#include "process/data.h"
#include "process/raised.h"
#include "process/script.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
char VERSION[] SEC("ktrail_version") = KTRAIL_VERSION;

#define SIGNAL_GROUP_EXIT 4      /* include/linux/sched/signal.h */

struct fork_record {
	struct event_header header;
	struct fork_body body;
	char text[CGROUP_BYTES];
};

/* Also of a cgroup's record: a program of a tracepoint is not preempted. */
MAP(PERCPU_ARRAY, fork_scratch, __u32, struct fork_record, 1);

struct cgroup_record {
	struct event_header header;
	struct cgroup_body body;
	char text[CGROUP_BYTES];
};
_Static_assert(sizeof(struct cgroup_record) <= sizeof(struct fork_record), "the scratch has room");

static __always_inline void submit_fork(struct fork_record *record)
{
	__u32 size = sizeof(record->header) + sizeof(record->body) + record->body.cgroup_len;

	submit(&record->header, size, sizeof(*record), COUNTER_RING_FULL_PROCESS);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 child_tgid = child->tgid, parent_tgid = parent->tgid, zero = 0;
	struct fork_record *record = bpf_map_lookup_elem(&fork_scratch, &zero);
	struct process *known, fresh = { .forked = 1 };
	__u64 cgroup;

	if (!record || child_tgid != child->pid) /* a thread */
		return 0;
	cgroup = cgroup_of((__u64)child);
	fresh.start_ns = bpf_ktime_get_boot_ns();
	fresh.parent_tgid = parent_tgid;
	fresh.cgroup_id = cgroup_id(cgroup);
	record->body = (struct fork_body){};
	known = bpf_map_lookup_elem(&processes, &parent_tgid);
	if (known)
		fresh.parent_start_ns = known->start_ns;
	if (!known || known->cgroup_id != fresh.cgroup_id)
		put_cgroup(cgroup, false, record->text, &record->body.cgroup_len, &record->body.cgroup_state);
	if (bpf_map_update_elem(&processes, &child_tgid, &fresh, BPF_ANY))
		count(COUNTER_PROCESS_MAP_FULL);
	processes_changed();
	record->header = (struct event_header){};
	stamp(&record->header, EVENT_FORK, fresh.start_ns, bpf_get_current_pid_tgid());
	record->header.tgid = child_tgid;
	record->header.tid = child_tgid;
	record->header.start_ns = fresh.start_ns;
	record->body.parent_start_ns = fresh.parent_start_ns;
	record->body.parent_tgid = parent_tgid;
	record->body.nspid = inner_pid_of_task((__u64)child);
	image_forked(parent_tgid, child_tgid, record->body.nspid);
	keep_privileges((__u64)child, child_tgid, fresh.start_ns);
	record->body.cgroup_id = fresh.cgroup_id;
	submit_fork(record);
	return 0;
}

/* A process moved to another cgroup, in the hierarchy that counts (cgroup_of). */
SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(process_move, struct cgroup *to, const char *path, struct task_struct *task)
{
	__u32 tgid = task->tgid, zero = 0;
	struct fork_record *record = bpf_map_lookup_elem(&fork_scratch, &zero);
	struct process *known = bpf_map_lookup_elem(&processes, &tgid);
	__u64 cgroup, id;

	if (!record || !known || tgid != task->pid) /* unknown, or a thread */
		return 0;
	cgroup = cgroup_of((__u64)task);
	id = cgroup_id(cgroup);
	if (known->cgroup_id == id)
		return 0;
	record->body = (struct fork_body){};
	record->header = (struct event_header){};
	stamp(&record->header, EVENT_MOVE, bpf_ktime_get_boot_ns(), bpf_get_current_pid_tgid());
	record->header.tgid = tgid;
	record->header.tid = tgid;
	record->header.start_ns = known->start_ns;
	record->body.cgroup_id = id;
	put_cgroup(cgroup, false, record->text, &record->body.cgroup_len, &record->body.cgroup_state);
	/* Record first: a fork in between then reports its own cgroup. */
	submit_fork(record);
	known->cgroup_id = id;
	return 0;
}

static __always_inline int report_cgroup(__u64 cgroup, bool gone)
{
	__u32 zero = 0, size;
	struct cgroup_record *record = bpf_map_lookup_elem(&fork_scratch, &zero);

	if (!record)
		return 0;
	record->header = (struct event_header){};
	record->body = (struct cgroup_body){ .id = cgroup_id(cgroup), .gone = gone };
	stamp(&record->header, EVENT_CGROUP, bpf_ktime_get_boot_ns(), bpf_get_current_pid_tgid());
	if (!gone)
		put_cgroup(cgroup, true, record->text, &record->body.names_len, &record->body.names_state);
	size = sizeof(record->header) + sizeof(record->body) + record->body.names_len;
	submit(&record->header, size, sizeof(*record), COUNTER_RING_FULL_PROCESS);
	return 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(cgroup_made, struct cgroup *cgroup, const char *path)
{
	/* User-chosen names prove nothing, and users may make many. */
	return named_by_root((__u64)cgroup) ? report_cgroup((__u64)cgroup, false) : 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(cgroup_gone, struct cgroup *cgroup, const char *path)
{
	return report_cgroup((__u64)cgroup, true);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	__u32 at = 0, tgid = task->tgid, parent_tgid, argv_len, argv_total = 0;
	struct exec_scratch *s = exec_scratch();
	struct process *known, fresh = {};
	struct exec_body *b;
	struct mm_struct *mm;
	unsigned long start;
	struct executed *script;
	__u64 now = bpf_ktime_get_boot_ns(), cgroup = cgroup_of((__u64)task), key;
	__u32 flags = PROCESS_EXECVE;
	long got;

	if (!s)
		return 0;
	/* First, because it needs the scratch. */
	send_long(now);
	b = &s->body;
	fresh.start_ns = now;
	fresh.cgroup_id = cgroup_id(cgroup);
	known = bpf_map_lookup_elem(&processes, &tgid);
	if (known && known->forked) {
		flags |= PROCESS_CLONE;
		fresh.parent_tgid = known->parent_tgid;
		fresh.parent_start_ns = known->parent_start_ns;
		parent_tgid = task->real_parent->tgid;
		known = parent_tgid == fresh.parent_tgid ? NULL : bpf_map_lookup_elem(&processes, &parent_tgid);
		if (known) { /* the process that forked it has ended */
			fresh.parent_tgid = parent_tgid;
			fresh.parent_start_ns = known->start_ns;
		}
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
	processes_changed();

	b->parent_start_ns = fresh.parent_start_ns;
	b->parent_tgid = fresh.parent_tgid;
	b->euid = task->cred->euid.val;
	b->auid = task->loginuid.val;
	b->nspid = inner_pid_of_task((__u64)task);
	put_detail(&b->detail);
	b->cgroup_id = fresh.cgroup_id;
	b->argc = bprm->argc;
	b->env_total = 0;
	b->raised = process_details ? take_raised((__u64)bprm) : 0;
	b->reserved = 0;

	if (!put_cgroup(cgroup, false, s->text, &b->cgroup_len, &b->cgroup_state))
		flags |= PROCESS_ERROR_CGROUP_NAME;
	at = padded(b->cgroup_len);
	barrier_var(at); /* as below */
	if (at > CGROUP_BYTES)
		return 0;

	b->filename_len = 0;
	got = bpf_probe_read_kernel_str(s->text + at, FILENAME_BYTES, bprm->filename);
	if (got > 0)
		b->filename_len = got - 1;
	else
		flags |= PROCESS_ERROR_FILENAME;
	at += padded(b->filename_len & (FILENAME_BYTES - 1));

	b->cwd_len = 0;
	flags |= put_cwd(&s->walk, EXEC_TEXT + at, &b->cwd_len);
	at += padded(b->cwd_len & (2 * PATH_BYTES - 1));
	if (at > CGROUP_BYTES + FILENAME_BYTES + PATH_BYTES + 512)
		return 0;

	key = (__u64)bprm;
	b->path_len = put_executed((__u64)bprm->file, &s->walk, EXEC_TEXT + at, &b->file_ino, &b->file_links);
	/* For a script, this is its interpreter. */
	put_program(s->text + at, b->path_len & (2 * PATH_BYTES - 1));
	image_executed(tgid, flags & PROCESS_CLONE);
	keep_privileges((__u64)task, tgid, now);
	if (bprm->interp != bprm->filename) {
		b->path_len = 0;
		b->file_ino = 0;
		b->file_links = 1;
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
	if (at > CGROUP_BYTES + FILENAME_BYTES + 2 * PATH_BYTES + 1024)
		return 0;

	argv_len = 0;
	mm = task->mm;
	if (mm) {
		start = mm->arg_start;
		argv_total = mm->arg_end - start;
		if (process_environment)
			b->env_total = mm->env_end - mm->env_start;
		argv_len = ARGV_BYTES;
		if (argv_total <= ARGV_BYTES)
			argv_len = argv_total;
		else
			flags |= PROCESS_TRUNC_ARGS;
		barrier_var(argv_len); /* else clang drops or merges the bound that the verifier needs */
		if (argv_len > ARGV_BYTES)
			return 0;
		if (bpf_probe_read_user(s->text + at, argv_len, (void *)start)) {
			flags |= PROCESS_ERROR_ARGS;
			argv_len = 0;
		}
	}
	b->argv_len = argv_len;
	b->argv_total = argv_total;
	/* Last: each test here doubles the verifier's paths. */
	if (b->filename_len >= TETRAGON_FILENAME)
		flags |= PROCESS_DATA_FILENAME;
	if (b->filename_len + argv_total >= TETRAGON_TEXTS)
		flags |= PROCESS_DATA_ARGS;
	b->flags = flags;

	stamp(&s->header, EVENT_EXEC, now, bpf_get_current_pid_tgid());
	s->header.nargs = 0;
	s->header.start_ns = now;
	s->header.hook_id = 0;
	s->header.selector = 0;
	s->header.flags = 0;
	at += sizeof(s->header) + sizeof(*b) + argv_len;
	submit(&s->header, at, sizeof(*s) - offsetof(struct exec_scratch, header), COUNTER_RING_FULL_PROCESS);
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
	image_gone(tgid);
	privileges_gone(tgid);
	if (bpf_map_delete_elem(&processes, &tgid))
		return 0;
	processes_changed();
	record.body.code = signal->flags & SIGNAL_GROUP_EXIT ? signal->group_exit_code : task->group_leader->exit_code;
	stamp(&record.header, EVENT_EXIT, bpf_ktime_get_boot_ns(), bpf_get_current_pid_tgid());
	submit(&record.header, sizeof(record), sizeof(record), COUNTER_RING_FULL_PROCESS);
	return 0;
}
