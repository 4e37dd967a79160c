/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_PROCESS_IMAGE_H
#define KTRAIL_PROCESS_IMAGE_H

/* Keeps the program of each process, for conditions on processes (process/conditions.h), which come and go with policies. */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "../event.h"
#include "../base/maps.h"
#include "conditions.h"
#include "evaluate.h"
#include "missing.h"

/* Slots of `evaluations`: a fork may interrupt an exec on its CPU. */
enum image_slot {
	SLOT_FORK,
	SLOT_EXEC,
};

/* The image of an exec: its evaluation has the image before it. */
MAP(PERCPU_ARRAY, image_scratch, __u32, struct image, 1);

static __always_inline struct image *scratch_image(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&image_scratch, &zero);
}

/* The verdict that the present process hands down; 0 also if no policy needs it. */
static __always_inline struct verdict handed_down(__u32 slot, __u32 tgid)
{
	__u32 of = generation_now();
	struct conditions *all = conditions_of(of);
	struct evaluation *e = bpf_map_lookup_elem(&evaluations, &slot);
	struct verdict *known, down = {};

	if (!of || !all || !all->following || !e)
		return down;
	known = bpf_map_lookup_elem(&verdicts, &tgid);
	if (!known || !known->current || known->generation != of) {
		known = &e->verdict;
		if (take_image(e, tgid)) {
			evaluate_process(slot, tgid);
			bpf_map_update_elem(&verdicts, &tgid, known, BPF_ANY);
		} else {
			inherit_image(slot);
			evaluate_process(slot, tgid);
		}
	}
	down.followed = known->followed;
	down.generation = known->generation;
	return down;
}

/* A new image is evaluated at its first call. */
static __always_inline void hand_down(__u32 tgid, const struct verdict *down)
{
	if (down->followed)
		bpf_map_update_elem(&verdicts, &tgid, down, BPF_ANY);
	else
		bpf_map_delete_elem(&verdicts, &tgid);
}

/* */
__noinline int image_forked(__u32 parent_tgid, __u32 child_tgid, __u32 inner_pid)
{
	__u32 slot = SLOT_FORK;
	struct evaluation *e = bpf_map_lookup_elem(&evaluations, &slot);
	struct image *image, *parent = bpf_map_lookup_elem(&images, &parent_tgid);
	struct verdict down;

	if (!e)
		return 0;
	image = &e->image;
	down = handed_down(slot, parent_tgid);
	hand_down(child_tgid, &down);
	/* User space has yet to enter the parent: then it enters the child too. Or a call of the child finds out (process/missing.h). */
	if (!parent) {
		bpf_map_delete_elem(&images, &child_tgid);
		return 0;
	}
	bpf_probe_read_kernel(&image->program, sizeof(image->program), &parent->program);
	bpf_probe_read_kernel(&image->parent, sizeof(image->parent), &parent->program);
	image->inner_pid = inner_pid;
	/* The parent's number: a missed exec of the parent then shows in the child too. */
	if (!parent->exec_id)
		parent->exec_id = exec_id_of(bpf_get_current_task());
	image->exec_id = parent->exec_id;
	if (bpf_map_update_elem(&images, &child_tgid, image, BPF_ANY))
		count(COUNTER_PROCESS_MAP_FULL);
	return 0;
}

/*
 * Stores the program of an exec in the scratch for image_executed: a path of `len` bytes, 0 if it is not known whole.
 * PROGRAM_END bytes before it can be read.
 */
static __always_inline void put_program(const char *text, __u32 len)
{
	struct image *image = scratch_image();

	if (image)
		set_program(&image->program, text, len);
}

/* After put_program. `forked`: the process has run its parent's program since its fork. */
__noinline int image_executed(__u32 tgid, __u32 forked)
{
	struct image *image = scratch_image(), *before = bpf_map_lookup_elem(&images, &tgid);
	struct verdict down;
	__u64 ancestor;
	__u32 pid;

	if (!image)
		return 0;
	down = handed_down(SLOT_EXEC, tgid);
	image->parent.known = 0;
	image->inner_pid = inner_pid_of_task(bpf_get_current_task());
	image->exec_id = exec_id_of(bpf_get_current_task());
	if (before) {
		bpf_probe_read_kernel(&image->parent, sizeof(image->parent), forked ? &before->parent : &before->program);
		/* The process has run another program, which process_exec did not see. */
		if (!forked && before->exec_id && before->exec_id + 1 != image->exec_id)
			image->parent.unread = 1;
	} else {
		ancestor = known_ancestor();
		pid = ancestor ? LOAD(task_struct, ancestor, tgid) : 0;
		before = bpf_map_lookup_elem(&images, &pid);
		if (before)
			bpf_probe_read_kernel(&image->parent, sizeof(image->parent), &before->program);
	}
	if (bpf_map_update_elem(&images, &tgid, image, BPF_ANY))
		count(COUNTER_PROCESS_MAP_FULL);
	hand_down(tgid, &down);
	return 0;
}

static __always_inline void image_gone(__u32 tgid)
{
	bpf_map_delete_elem(&images, &tgid);
	bpf_map_delete_elem(&verdicts, &tgid);
}

#endif
