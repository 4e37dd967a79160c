/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_CALL_H
#define KTRAIL_CALL_H

/*
 * What one call of a hooked function goes through, however it arrived.
 *
 *   hook_screen   numbers, then the path by pointers, then whose call it is: nearly every call ends here
 *   hook_record   names, exact filters, the record
 */

/* Host pid of the agent: what it does itself is never an event. */
const volatile __u32 agent_tgid = 0;

#define RECORD_BYTES (21 << 10) /* a value begins within: also a return value behind five paths of full length */

/* What a call looks like, however it arrived. */
struct call {
	__u64 args[ARGS_MAX];  /* in the order of hook.args, already of the declared width */
	__u64 returned;
	__u64 time_ns;
};

/* Work space of one hook on one CPU. One for each slot: a program is never entered twice on a CPU, another may be. */
struct scratch {
	struct call call;  /* here and not on the stack, of which all functions of a program share 512 bytes */
	struct top top;
	__u64 ring[TOP_MAX];
	struct suffix_entry reversed;
	__u32 offset[ARGS_MAX + 3];  /* of each value in the record */
	char record[RECORD_BYTES + 2 * PATH_BYTES + 512];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HOOK_SLOTS);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

/* By value: a variable whose address is taken is no constant to the verifier any more. */
static __always_inline struct scratch *scratch_of(__u32 slot)
{
	return bpf_map_lookup_elem(&scratch, &slot);
}

/* The value at an offset of the record, if the largest one has room there: five paths of full length always have. */
static __always_inline struct value *value_at(struct scratch *s, __u32 at)
{
	/* The verifier of 6.1 forgets the bound of a number that was put aside: it wants the test right here. */
	barrier_var(at);
	if (at > RECORD_BYTES)
		return 0;
	return (struct value *)(s->record + at);
}

/* Which selectors the numbers alone leave possible, one bit each. */
static __always_inline __u32 selectors_by_number(const volatile struct hook *hook, const __u64 *args)
{
	__u32 alive = 0, s, i;

	for (s = 0; s < SELECTORS_MAX; s++) {
		bool possible = true;

		if (s >= hook->nselectors)
			break;
		for (i = 0; i < FILTERS_MAX; i++) {
			const volatile struct filter *f = &hook->selectors[s].filters[i];

			if (i >= hook->selectors[s].count)
				break;
			if (f->class != CLASS_NUMBER || f->arg >= ARGS_MAX)
				continue;
			if (!number_matches(f, hook->arg_type[f->arg], args[f->arg]))
				possible = false;
		}
		if (possible)
			alive |= 1u << s;
	}
	return alive;
}

/* First selector all of whose filters match, -1 if none. */
static __always_inline int first_selector(const volatile struct hook *hook, __u32 alive, struct scratch *scratch)
{
	__u32 s, i;

	for (s = 0; s < SELECTORS_MAX; s++) {
		bool matches = alive & (1u << s);

		if (s >= hook->nselectors)
			break;
		for (i = 0; i < FILTERS_MAX; i++) {
			const volatile struct filter *f = &hook->selectors[s].filters[i];
			struct value *v;
			struct text_key *key;

			if (i >= hook->selectors[s].count)
				break;
			if (f->class == CLASS_NUMBER || f->arg >= ARGS_MAX || !matches)
				continue;
			v = value_at(scratch, scratch->offset[f->arg]);
			if (!v)
				continue;
			if (v->kind == VALUE_ERROR) {
				matches = false;
				continue;
			}
			key = (struct text_key *)(v + 1);
			if (f->class == CLASS_PATH)
				key = (struct text_key *)((struct file_info *)(v + 1) + 1);
			matches = text_matches(f, v, key, &scratch->reversed);
		}
		if (matches)
			return s;
	}
	return -1;
}

/* Second half: names, exact filters, the record. */
static __noinline int hook_record(__u32 slot, __u32 alive)
{
	const volatile struct hook *hook;
	struct scratch *s = scratch_of(slot);
	const struct call *call;
	struct event_header *h;
	struct process *process;
	__u32 at = sizeof(*h), used, i;
	int selector = 0;

	if (!s || slot >= HOOK_SLOTS)
		return 0;
	hook = &hooks[slot];
	call = &s->call;
	h = (struct event_header *)s->record;
	h->nargs = 0;
	for (i = 0; i < ARGS_MAX; i++) {
		struct value *v;
		__u8 type;

		if (i >= hook->nargs)
			break;
		type = hook->arg_type[i];
		if (type == ARG_NOP)
			continue;
		v = value_at(s, at);
		if (!v)
			break;
		s->offset[i] = at;
		v->index = i;
		v->flags = 0;
		if (type == ARG_FILE || type == ARG_PATH)
			used = put_file((char *)v, type, call->args[i], i == hook->screen.arg ? &s->top : 0);
		else if (type == ARG_STRING)
			used = put_string((char *)v, call->args[i]);
		else
			used = put_number((char *)v, type, call->args[i]);
		at += used;
		h->nargs++;
	}
	if (hook->nselectors) {
		selector = first_selector(hook, alive, s);
		if (selector < 0)
			return 0;
	}
	h->flags = 0;
	if (hook->return_type != ARG_NOP) {
		struct value *v = value_at(s, at);

		if (!v)
			return 0;
		v->index = RETURN_INDEX;
		at += put_number((char *)v, hook->return_type, narrowed(hook->return_type, call->returned));
		h->nargs++;
		h->flags |= HOOK_HAS_RETURN;
	}
	stamp(h, EVENT_HOOK, call->time_ns);
	h->selector = selector;
	h->hook_id = hook->id;
	process = bpf_map_lookup_elem(&processes, &h->tgid);
	h->start_ns = process ? process->start_ns : 0;
	submit(h, at, sizeof(s->record), COUNTER_RING_FULL_HOOK);
	return 0;
}

/* First half: everything that can reject without a name. Returns the selectors left, or -1. */
static __always_inline int hook_screen(struct scratch *s, __u32 slot)
{
	const volatile struct hook *hook = &hooks[slot];
	__u32 alive = 0;
	__u8 position;

	if (hook->nselectors) {
		alive = selectors_by_number(hook, s->call.args);
		if (!alive)
			return -1;
	}
	position = hook->screen.arg;
	if (position < ARGS_MAX) {
		struct place at = place_of(hook->arg_type[position], s->call.args[position]);

		if (!at.dentry)
			return -1;
		if (!screen(&hook->screen, at, task_root(), s->ring, &s->top))
			return -1;
	}
	/* Two helper calls that nearly every call can do without. */
	if (agent_tgid && bpf_get_current_pid_tgid() >> 32 == agent_tgid)
		return -1;
	s->call.time_ns = bpf_ktime_get_boot_ns();
	return alive;
}

#endif
