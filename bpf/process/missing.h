/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_PROCESS_MISSING_H
#define KTRAIL_PROCESS_MISSING_H

/*
 * A process without an image: the kernel did not run process_fork at its fork (it skips a program that is preempted), or
 * `images` was full. Its program is found when a call first needs it: a process must not hide from filters that way. Its
 * fork made no image, so its image is the one that its nearest ancestor with an image has handed down. If its memory has
 * another file as its program, the path is that file's at present.
 *
 * Likewise a process whose image is that of before its last exec, because the kernel did not run process_exec.
 */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "../event.h"
#include "../base/maps.h"
#include "../base/path.h"
#include "../base/path_text.h"
#include "conditions.h"
#include "evaluate.h"

/* include/linux/sched.h PF_EXITING, PF_KTHREAD */
#define TASK_EXITS 0x00000004
#define TASK_IS_KERNEL_THREAD 0x00200000

/* Pid as the process itself sees it; 0 when that is the host's. */
static __always_inline __u32 inner_pid_of_task(__u64 task)
{
	__u64 leader = (__u64)LOAD(task_struct, task, group_leader), pid, upid;
	__u32 level;

	pid = (__u64)LOAD(task_struct, leader, thread_pid);
	if (!pid)
		return 0;
	level = LOAD(pid, pid, level);
	if (level == 0)
		return 0;
	upid = MEMBER(pid, pid, numbers) + level * bpf_core_type_size(struct upid);
	return LOAD(upid, upid, nr);
}

/* The nearest ancestor of the present process that has an image; 0: none. */
static __always_inline __u64 known_ancestor(void)
{
	__u64 task = bpf_get_current_task();
	__u32 tgid, i;

	for (i = 0; i < ANCESTORS_MAX; i++) {
		task = (__u64)LOAD(task_struct, task, real_parent);
		if (!task)
			break;
		tgid = LOAD(task_struct, task, tgid);
		if (!tgid)
			break;
		if (bpf_map_lookup_elem(&images, &tgid))
			return task;
	}
	return 0;
}

/* The file that a task runs; 0: none, or it is gone. A task that ends leaves its mm first (kernel/exit.c exit_mm), which may then be another one's. */
static __always_inline __u64 executed_file(__u64 task)
{
	__u64 mm = task ? (__u64)LOAD(task_struct, task, mm) : 0, file = mm ? (__u64)LOAD(mm_struct, mm, exe_file) : 0;

	return mm && (__u64)LOAD(task_struct, task, mm) == mm ? file : 0;
}

/* Takes the image that a fork of known_ancestor makes, and the conditions handed down. */
__noinline int inherit_image(__u32 slot)
{
	struct evaluation *e = bpf_map_lookup_elem(&evaluations, &slot);
	struct conditions *all = conditions_of(generation_now());
	__u64 ancestor = known_ancestor();
	__u32 tgid;

	if (!e || !all)
		return 0;
	tgid = ancestor ? LOAD(task_struct, ancestor, tgid) : 0;
	if (take_image(e, tgid)) {
		if (e->image.exec_id && e->image.exec_id != exec_id_of(ancestor))
			e->image.program.known = 0;
		if (all->following)
			evaluate_process(slot, tgid);
		bpf_probe_read_kernel(&e->image.parent, sizeof(e->image.parent), &e->image.program);
	} else {
		e->image.program.known = 0;
		e->image.parent.known = 0;
	}
	e->image.inner_pid = inner_pid_of_task(bpf_get_current_task());
	e->image.exec_id = exec_id_of(bpf_get_current_task());
	e->present = 1;
	return 0;
}

/*
 * The process is about to run another program, and process_exec will see it. Its memory and its exec_id may already be
 * those of that program, but its records name the one before, and so do its conditions.
 */
static __always_inline bool is_in_exec(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	return BPF_CORE_READ_BITFIELD_PROBED(task, in_execve);
}

/*
 * Whether the taken image is older than the last exec of the present process: then only its
 * parent's part is known. One that user space has read counts from now on.
 */
static __always_inline bool is_outdated(struct evaluation *e, __u32 tgid)
{
	__u32 now = exec_id_of(bpf_get_current_task()), early = is_in_exec();
	struct process *process;
	struct image *image;

	if (!e->image.exec_id && !early) {
		e->image.exec_id = now;
		image = bpf_map_lookup_elem(&images, &tgid);
		if (image)
			image->exec_id = now;
	}
	if (!e->image.exec_id || now - e->image.exec_id <= early)
		return false;
	process = bpf_map_lookup_elem(&processes, &tgid);
	/* After an exec, the program before it becomes the parent's. After a fork alone, it may be older than an exec of the parent. */
	if (process && !process->forked)
		bpf_probe_read_kernel(&e->image.parent, sizeof(e->image.parent), &e->image.program);
	else
		e->image.parent.known = 0;
	e->image.program.known = 0;
	e->image.exec_id = now;
	return true;
}

/* The program of the present process, or its parent's (`kind`), where it is not what was inherited. */
__noinline int find_program(__u32 slot, __u32 kind)
{
	struct evaluation *e = bpf_map_lookup_elem(&evaluations, &slot);
	__u64 task = bpf_get_current_task(), ancestor = known_ancestor(), file;
	struct text_walk *w = walk_of(slot);
	__u32 got, len, from, to = scratch_bytes - PATH_BYTES - NAME_ROOM;
	struct program *program;
	char *text;

	if (!e || !w)
		return 0;
	program = &e->image.program;
	if (kind == CONDITION_PARENT) {
		task = (__u64)LOAD(task_struct, task, real_parent);
		program = &e->image.parent;
	}
	file = executed_file(task);
	if (program->known && (task == ancestor || (file && file == executed_file(ancestor))))
		return 0;
	program->len = 0;
	program->known = 1;
	program->unread = 0;
	if (LOAD(task_struct, task, flags) & TASK_IS_KERNEL_THREAD)
		return 0;
	program->unread = 1;
	/* In an exec, the file may be that of the program to come. */
	if (file && (kind == CONDITION_PARENT || !is_in_exec())) {
		w->start = place_of_path(MEMBER(file, file, f_path));
		/* The end of the memory is the record's, and the call has none yet. */
		w->to = to;
		got = path_text(slot);
		len = got & (PATH_BYTES - 1);
		from = (PATH_BYTES - len) & (PATH_BYTES - 1);
		text = (char *)w + to;
		if (len)
			set_program(program, text + from, len);
		else
			set_program(program, text, put_memory_name(w->start.dentry, text));
		if (got >> 16 & (VALUE_UNRESOLVED | VALUE_UNSTABLE))
			program->unread = 1;
	}
	if (program->unread)
		count(COUNTER_PROGRAM_UNKNOWN);
	return 0;
}

/*
 * Finds and keeps the image of the present process. A process that exits has none any more, and nothing would remove it. An
 * entry that was made meanwhile knows better; without room the next evaluation finds it again.
 */
static __always_inline void find_image(struct evaluation *e, __u32 slot, __u32 tgid, bool outdated)
{
	if (LOAD(task_struct, bpf_get_current_task(), flags) & TASK_EXITS)
		return;
	count(COUNTER_IMAGE_MISSED);
	if (!e->present)
		inherit_image(slot);
	find_program(slot, CONDITION_PROGRAM);
	if (!outdated || !e->image.parent.known)
		find_program(slot, CONDITION_PARENT);
	bpf_map_update_elem(&images, &tgid, &e->image, outdated ? BPF_ANY : BPF_NOEXIST);
}

#endif
