/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_CALL_SCREEN_H
#define KTRAIL_CALL_SCREEN_H

/*
 * The first half of a call of a hooked function, however it arrived: numbers, then the path by pointers, then whose call
 * it is. Nearly every call ends here.
 */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "../base/record.h"
#include "../base/path.h"
#include "../frame/filter.h"
#include "../match/set.h"
#include "../match/number.h"
#include "../process/conditions.h"
#include "../process/evaluate.h"
#include "../process/missing.h"
#include "../frame/hook.h"
#include "../frame/scratch.h"
#include "../args/number.h"
#include "../args/file.h"
#include "identity.h"
#include "workload.h"
#include "screened_path.h"

/* Host pid of the agent: its own calls are never events. */
const volatile __u32 agent_tgid = 0;

/* Puts into the scratch which conditions the process fulfils. */
__noinline int ask_process(__u32 slot)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32, w;
	struct scratch *s = scratch_of(slot);
	struct evaluation *e = bpf_map_lookup_elem(&evaluations, &slot);
	struct verdict *known = bpf_map_lookup_elem(&verdicts, &tgid);
	bool present, outdated;

	if (!s || !e)
		return 0;
	if (!known || !known->current || known->generation != generation_now() ||
	    known->exec_id != exec_id_of(bpf_get_current_task())) {
		present = take_image(e, tgid);
		outdated = present && is_outdated(e, tgid);
		if (!present || outdated)
			find_image(e, slot, tgid, outdated);
		evaluate_process(slot, tgid);
		known = &e->verdict;
		if (e->present)
			bpf_map_update_elem(&verdicts, &tgid, known, BPF_ANY);
	}
	for (w = 0; w < SET_WORDS; w++)
		s->conditions[w] |= known->bits[w];
	return 0;
}

/* Leaves in `left` the selectors that may match; false if no selector may. */
static __always_inline bool hook_screen(struct scratch *s, __u32 slot)
{
	const volatile struct hook *hook = &hooks[slot];
	const volatile struct path_screen *path;
	struct place at = {};
	struct task_struct *task;
	__u32 words, param, i;
	__u8 type;

	KEEP(hook);
	path = &hook->path;
	words = hook->words;
	if (hook->placed && !screen_workload(slot, s))
		return false;
	if (hook->conditional && !hook->placed)
		set_clear(s->conditions, SET_WORDS);
	if (words == 1)
		s->alive[0] = hook->first_all;
	else
		set_copy(s->alive, words, hook->all);
	for (i = 0; i < SCREENED_NUMBERS && hook->nnumbers; i++) {
		const volatile struct screened_number *screened = &hook->numbers[i];

		if (i >= hook->nnumbers)
			break;
		if (screened->param < PARAMS_MAX &&
		    !screen_number(s->alive, words, screened->sets, narrowed(screened->type, s->call.params[screened->param])))
			return false;
	}
	if (hook->conditional) {
		ask_process(slot);
		if (hook->conditions != EMPTY_SET && !set_meets(s->conditions, hook->condition_words, hook->conditions))
			return false;
	}
	task = current_task();
	param = path->param;
	type = path->type;
	if (param < PARAMS_MAX)
		at = place_of(type, s->call.params[param], file_of(type, s->call.params[param]));
	if (at.dentry) {
		if (!screen_path(slot, hook, s, at, task))
			return false;
	} else {
		s->at = at;
		set_copy(s->left, words, param < PARAMS_MAX ? path->others : hook->all);
		s->top.whole = false;
	}
	if (!set_keep(s->left, words, s->alive))
		return false;
	if (!screen_files(slot, s))
		return false;
	/* Nearly every call ends before these steps. */
	s->call.thread = thread_of(task);
	if (agent_tgid && s->call.thread >> 32 == agent_tgid)
		return false;
	/* Here the task is in a register. */
	((struct event_header *)s->record)->uid = user_of(task);
	s->call.time = header_time(bpf_ktime_get_boot_ns());
	return true;
}

#endif
