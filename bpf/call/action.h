/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_CALL_ACTION_H
#define KTRAIL_CALL_ACTION_H

/*
 * The actions on a call that a selector matches, apart from its record. Only functions with such selectors
 * (hook.actions) have this code.
 */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "../event.h"
#include "../base/record.h"
#include "../frame/filter.h"
#include "../match/set.h"
#include "../frame/aggregate.h"
#include "../process/conditions.h"
#include "../match/task.h"
#include "../frame/scratch.h"
#include "identity.h"
#include "../args/hash.h"
#include "aggregate.h"

/* When such a call was last reported. A full table forgets entries that were not used for long: then a repeat is reported again. */
MAP(LRU_HASH, repeats, struct repeat_key, __u64, 32768);

/* User space makes the entries: of selectors with actions. */
MAP(HASH, acted, struct selector_id, struct acted, 8192);

/* A thread has one until its next call of the enforcer. A full table forgets entries that were not used for long: that call is made. */
MAP(LRU_HASH, notes, struct note_key, struct note, 4096);

#define SIGNAL_KILL 9

#define COUNT_ACTED(counts, member)                                    \
	do {                                                           \
		if (counts)                                            \
			__sync_fetch_and_add(&(counts)->member, 1);    \
	} while (0)

enum act_result {
	ACT_REFUSED = 1, /* an action was not carried out, so the call is reported as one without action */
	ACT_HIDE = 2,    /* no record */
	ACT_LIMIT = 4,   /* the record starts the interval in which repeats have no record */
	ACT_AGGREGATE = 8, /* one record for all equal calls until user space takes their count */
};

/* Puts the key of a call into the scratch; true when such a call was reported within the time. */
__noinline int is_repeat(__u32 slot, __u32 selector_key)
{
	struct selector *selector = bpf_map_lookup_elem(&selectors, &selector_key);
	struct scratch *s = scratch_of(slot);
	__u64 caller = bpf_get_current_pid_tgid(), *reported;

	if (!s || !selector)
		return false;
	s->repeat.key.policy_hook = selector->policy_hook;
	s->repeat.key.caller = selector->action.scope == SCOPE_THREAD ? caller : selector->action.scope == SCOPE_PROCESS ? caller >> 32 : 0;
	s->repeat.key.arguments = 0;
	hash_values(slot, selector->action.values);
	reported = bpf_map_lookup_elem(&repeats, &s->repeat.key);
	/* Signed: a concurrent call with a later time may have been reported already. */
	if (!reported || (__s64)(ns_of(s->call.time) - *reported) >= (__s64)(selector->action.interval_ms * NSEC_PER_MSEC))
		return false;
	return true;
}

static __always_inline void reported_now(struct scratch *s)
{
	__u64 now = ns_of(s->call.time);

	bpf_map_update_elem(&repeats, &s->repeat.key, &now, BPF_ANY);
}

/*
 * Whether the selector matches for sure. A path passes filters if it was renamed in every try or is not known whole, so that it
 * is not missed. That is no reason to hide a call, to let it fail, or to send a signal.
 *
 */
__noinline int matches_surely(__u32 slot, __u32 selector_key)
{
	struct selector *selector = bpf_map_lookup_elem(&selectors, &selector_key);
	__u32 tgid = bpf_get_current_pid_tgid() >> 32, i;
	struct scratch *s = scratch_of(slot);
	struct image *image;
	struct filter *f;
	struct value *v;

	if (!s || !selector)
		return false;
	if (selector->conditions != EMPTY_SET) {
		image = bpf_map_lookup_elem(&images, &tgid);
		if (!image || image->program.unread || image->parent.unread)
			return false;
	}
	for (i = 0; i < FILTERS_MAX; i++) {
		if (i >= selector->count)
			break;
		f = &selector->filters[i];
		if (f->class == CLASS_IDENTITY && identity_matches(s, f) != SURELY)
			return false;
		if (asks_changes && (f->class == CLASS_NAMESPACE_CHANGE || f->class == CLASS_CAPABILITY_CHANGE) &&
		    change_matches(selector_key, i) != SURELY)
			return false;
		if (f->class != CLASS_PATH && f->class != CLASS_TEXT)
			continue;
		v = value_at(s, s->offset[f->value & (VALUES_MAX - 1)]);
		if (!v || v->flags & VALUE_UNSTABLE)
			return false;
		if (v->flags & VALUE_UNRESOLVED && (!v->len || f->op == OP_PREFIX || f->op == OP_NOT_PREFIX))
			return false;
	}
	return true;
}

static __always_inline __u64 thread_started(void)
{
	__u64 task = bpf_get_current_task();

	return LOAD(task_struct, task, start_boottime);
}

/* False when the map refused it. */
static __always_inline bool leave_note(const struct action *action)
{
	struct note_key key = { .thread = bpf_get_current_pid_tgid(), .enforcer = action->enforcer };
	struct note note = { .error = action->note_error, .signal = action->note_signal };

	if (!note.error && !note.signal) {
		bpf_map_delete_elem(&notes, &key);
		return true;
	}
	note.started_ns = thread_started();
	return !bpf_map_update_elem(&notes, &key, &note, BPF_ANY);
}

/* A call of an enforcer: carries out a note, once. It has no record: the call that left the note has one. */
static __always_inline int enforce(struct scratch *s, const struct action *action, struct acted *counts)
{
	struct note_key key = { .thread = bpf_get_current_pid_tgid(), .enforcer = action->enforcer };
	struct note *found = bpf_map_lookup_elem(&notes, &key), note;

	if (!found)
		return ACT_HIDE;
	bpf_probe_read_kernel(&note, sizeof(note), found);
	bpf_map_delete_elem(&notes, &key);
	if (note.started_ns != thread_started())
		return ACT_HIDE;
	COUNT_ACTED(counts, calls);
	if (note.signal) {
		if (key.thread >> 32 == 1 || bpf_send_signal(note.signal))
			COUNT_ACTED(counts, refused);
		else if (note.signal == SIGNAL_KILL)
			COUNT_ACTED(counts, signals[0]);
		else
			COUNT_ACTED(counts, signals[1]);
	}
	if (note.error) {
		if (!s->error)
			s->error = note.error;
		COUNT_ACTED(counts, denied);
	}
	return ACT_HIDE;
}

/* Carries out a selector's actions on a call that it matches; returns bits of enum act_result. */
__noinline int act(__u32 slot, __u32 selector_key)
{
	struct selector *selector = bpf_map_lookup_elem(&selectors, &selector_key);
	__u32 tgid = bpf_get_current_pid_tgid() >> 32, i;
	struct scratch *s = scratch_of(slot);
	struct action *action;
	struct acted *counts;
	int result = 0, called;

	if (!selector || !s)
		return 0;
	s->selector = (struct selector_id){ .policy_hook = selector->policy_hook, .index = selector->index };
	counts = bpf_map_lookup_elem(&acted, &s->selector);
	action = &selector->action;
	if (action->enforces)
		return enforce(s, action, counts);
	COUNT_ACTED(counts, calls);
	if (action->signals[0] || action->hide || action->error || action->enforcer) {
		if (!matches_surely(slot, selector_key)) {
			COUNT_ACTED(counts, refused);
			return ACT_REFUSED;
		}
	}
	for (i = 0; i < ACTIONS_MAX; i++) {
		if (!action->signals[i])
			break;
		/* A signal to pid 1 ends the system, and only newer kernels refuse it (6.3: kernel/trace/bpf_trace.c bpf_send_signal_common). */
		if (tgid == 1 || bpf_send_signal(action->signals[i]))
			result = ACT_REFUSED;
		else
			COUNT_ACTED(counts, signals[i]);
	}
	/* The first of several policies decides. A call that is judged at its return, by a text that was unread, was made. */
	if (action->error && s->call.returns == HOOK_HAS_RETURN) {
		result = ACT_REFUSED;
	} else if (action->error) {
		if (!s->error)
			s->error = action->error;
		COUNT_ACTED(counts, denied);
	}
	if (action->enforcer && leave_note(action))
		COUNT_ACTED(counts, notified);
	else if (action->enforcer)
		result = ACT_REFUSED;
	if (result)
		COUNT_ACTED(counts, refused);
	if (!action->hide) {
		if (action->aggregate) {
			called = aggregate_call(slot, selector_key);
			return called == CALL_COUNTED ? ACT_HIDE : called == CALL_BEGINS ? ACT_AGGREGATE : 0;
		}
		if (!action->interval_ms)
			return result;
		if (!is_repeat(slot, selector_key))
			return result | ACT_LIMIT;
		COUNT_ACTED(counts, repeats);
	} else {
		COUNT_ACTED(counts, hidden);
	}
	return ACT_HIDE;
}

#endif
