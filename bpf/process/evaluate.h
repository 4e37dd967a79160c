/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_PROCESS_EVALUATE_H
#define KTRAIL_PROCESS_EVALUATE_H

/* Works out which conditions a process fulfils (process/conditions.h). */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "conditions.h"

/* Working memory, by slot like `scratch`; user space sets the number of slots. */
struct evaluation {
	struct program_key start;
	struct program_end_key end;
	struct condition_set hits;
	struct condition_set known;   /* conditions whose property of the process is known */
	struct condition_set unread;  /* conditions that hold because their property is not known */
	struct verdict verdict;       /* before evaluate_process: conditions that are inherited in any case */
	struct image image;           /* image of the process, if there is one */
	__u32 present;
	__u32 reserved;
};

MAP(PERCPU_ARRAY, evaluations, __u32, struct evaluation, 2);

static __always_inline void conditions_add(struct condition_set *to, const struct condition_set *more)
{
	__u32 w;

	for (w = 0; w < CONDITION_WORDS; w++)
		to->bits[w] |= more->bits[w];
}

static __always_inline __u32 generation_now(void)
{
	__u32 zero = 0, *now = bpf_map_lookup_elem(&generation, &zero);

	return now ? *(volatile __u32 *)now : 0;
}

static __always_inline struct conditions *conditions_of(__u32 of)
{
	__u32 at = of % GENERATIONS_AT_ONCE;

	return bpf_map_lookup_elem(&conditions, &at);
}

static __always_inline __u32 condition_table(__u32 of, enum condition_kind kind)
{
	return of % GENERATIONS_AT_ONCE * CONDITION_KINDS + kind;
}

/* A path of `len` bytes, 0 if the whole path is not known. PROGRAM_END bytes before it can be read, and PROGRAM_START of it. */
static __always_inline void set_program(struct program *program, const char *text, __u32 len)
{
	__u32 i;

	program->len = len;
	program->known = 1;
	program->unread = !len;
	bpf_probe_read_kernel(program->start, PROGRAM_START, text);
	bpf_probe_read_kernel(program->end, PROGRAM_END, text + len - PROGRAM_END);
	for (i = 0; i < PROGRAM_END / 16; i++) {
		__u64 *first = (__u64 *)program->end + i, *last = (__u64 *)program->end + PROGRAM_END / 8 - 1 - i;
		__u64 word = *first;

		*first = __builtin_bswap64(*last);
		*last = __builtin_bswap64(word);
	}
}

/* Number of execs that replaced the program of the process; a fork inherits it, and threads share it. */
static __always_inline __u32 exec_id_of(__u64 task)
{
	return (__u32)LOAD(task_struct, task, self_exec_id);
}

/* Takes the image of a process for its evaluation. False if it has none: process/missing.h. */
static __always_inline bool take_image(struct evaluation *e, __u32 tgid)
{
	struct image *image = bpf_map_lookup_elem(&images, &tgid);

	e->verdict.followed = 0;
	e->present = 0;
	if (!image)
		return false;
	bpf_probe_read_kernel(&e->image, sizeof(e->image), image);
	e->present = 1;
	return true;
}

/* Adds the conditions that the process's program fulfils, or its parent's (`kind`). */
__noinline int evaluate_program(__u32 slot, __u32 of, __u32 kind)
{
	struct evaluation *e = bpf_map_lookup_elem(&evaluations, &slot);
	struct conditions *all = conditions_of(of);
	struct condition_set *ends;
	struct program_value *found;
	struct program *program;
	__u32 len;

	if (!e || !e->present || !all)
		return 0;
	program = kind == CONDITION_PARENT ? &e->image.parent : &e->image.program;
	if (!program->known)
		return 0;
	kind = kind == CONDITION_PARENT ? CONDITION_PARENT : CONDITION_PROGRAM;
	conditions_add(&e->known, &all->kinds[kind]);
	if (program->unread) {
		conditions_add(&e->unread, &all->kinds[kind]);
		return 0;
	}
	len = program->len;
	if (!len)
		return 0;
	e->start.table = condition_table(of, kind);
	e->start.bits = 8 * (sizeof(e->start.table) + (len < PROGRAM_START ? len : PROGRAM_START));
	bpf_probe_read_kernel(e->start.text, PROGRAM_START, program->start);
	found = bpf_map_lookup_elem(&program_starts, &e->start);
	if (found) {
		conditions_add(&e->hits, &found->begins);
		if (found->len == len)
			conditions_add(&e->hits, &found->is);
	}
	e->end.table = e->start.table;
	e->end.bits = 8 * (sizeof(e->end.table) + (len < PROGRAM_END ? len : PROGRAM_END));
	bpf_probe_read_kernel(e->end.text, PROGRAM_END, program->end);
	ends = bpf_map_lookup_elem(&program_ends, &e->end);
	if (ends)
		conditions_add(&e->hits, ends);
	return 0;
}

static __always_inline __u32 inner_pid_of(__u32 tgid)
{
	struct image *image = bpf_map_lookup_elem(&images, &tgid);

	return image ? image->inner_pid : 0;
}

static __always_inline void evaluate_pid(struct evaluation *e, __u32 of, enum condition_kind kind, __u32 pid, __u32 from, __u32 to)
{
	struct pid_key key = { .table = condition_table(of, kind), .pid = pid };
	struct condition_set *found = bpf_map_lookup_elem(&condition_pids, &key);
	__u32 w;

	if (!found)
		return;
	for (w = 0; w < CONDITION_WORDS; w++) {
		if (w >= from && w < to)
			e->hits.bits[w] |= found->bits[w];
	}
}

/* Adds the conditions that the pid fulfils, and the pids of the ancestors. `tgid` is the present process. */
__noinline int evaluate_pids(__u32 slot, __u32 tgid, __u32 of)
{
	struct evaluation *e = bpf_map_lookup_elem(&evaluations, &slot);
	struct conditions *all = conditions_of(of);
	__u64 task = bpf_get_current_task();
	__u32 inner, pid, i;

	if (!e || !all)
		return 0;
	conditions_add(&e->known, &all->kinds[CONDITION_PID]);
	evaluate_pid(e, of, CONDITION_PID, tgid, 0, CONDITION_WORDS);
	if (e->present) {
		conditions_add(&e->known, &all->kinds[CONDITION_INNER_PID]);
		inner = e->image.inner_pid;
		evaluate_pid(e, of, CONDITION_INNER_PID, inner ?: tgid, 1, CONDITION_WORDS);
		/* A process of the host has no pid inside: conditions on such pids are false for it, negated or not. */
		if (inner)
			evaluate_pid(e, of, CONDITION_INNER_PID, inner, 0, 1);
		else
			e->known.bits[0] &= ~all->kinds[CONDITION_INNER_PID].bits[0];
	}
	if (!all->following)
		return 0;
	for (i = 0; i < ANCESTORS_MAX; i++) {
		task = (__u64)LOAD(task_struct, task, real_parent);
		if (!task)
			break;
		pid = LOAD(task_struct, task, tgid);
		if (!pid)
			break;
		evaluate_pid(e, of, CONDITION_PID, pid, 0, 1);
		inner = all->inner ? inner_pid_of(pid) : 0;
		if (inner)
			evaluate_pid(e, of, CONDITION_INNER_PID, inner, 0, 1);
	}
	return 0;
}

/* The conditions that a process hands down, without those of an earlier meaning. */
static __always_inline __u64 still_followed(const struct verdict *before, const struct conditions *all, __u32 of)
{
	__u64 followed = before->followed;
	__u32 i;

	if (before->generation == of || !followed)
		return followed;
	for (i = 0; i < FOLLOWING_MAX; i++) {
		if (all->since[i] > before->generation)
			followed &= ~(1ull << i);
	}
	return followed;
}

/* Works out the conditions of the process whose image was taken. They are in `evaluations` then. */
__noinline int evaluate_process(__u32 slot, __u32 tgid)
{
	struct evaluation *e = bpf_map_lookup_elem(&evaluations, &slot);
	__u32 of = generation_now(), w;
	struct conditions *all = conditions_of(of);
	struct verdict *before;

	if (!e || !all || !of)
		return 0;
	before = bpf_map_lookup_elem(&verdicts, &tgid);
	if (before)
		e->verdict.followed |= still_followed(before, all, of);
	for (w = 0; w < CONDITION_WORDS; w++) {
		e->hits.bits[w] = 0;
		e->known.bits[w] = 0;
		e->unread.bits[w] = 0;
	}
	evaluate_program(slot, of, CONDITION_PROGRAM);
	evaluate_program(slot, of, CONDITION_PARENT);
	evaluate_pids(slot, tgid, of);
	e->hits.bits[0] |= e->verdict.followed;
	e->verdict.followed = e->hits.bits[0] & all->following;
	for (w = 0; w < CONDITION_WORDS; w++)
		e->verdict.bits[w] = ((e->hits.bits[w] ^ all->negated.bits[w]) & e->known.bits[w]) | e->unread.bits[w];
	e->verdict.generation = of;
	e->verdict.exec_id = e->present ? e->image.exec_id : 0;
	e->verdict.current = 1;
	return 0;
}

#endif
