/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_MATCH_TASK_H
#define KTRAIL_MATCH_TASK_H

/* Filters on the calling task itself: its namespaces and capabilities, as they are at the call, and whether they have changed. */

#include "../vmlinux/kernel.h"
#include "../frame/filter.h"
#include "number.h"
#include "../process/task.h"
#include "../process/privileges.h"

/* Whether policies on the functions of this object have filters on changes. */
const volatile __u32 asks_changes = 0;

enum sureness {
	NOT_SO,
	SURELY,
	PERHAPS,
};

static __always_inline bool capabilities_match(const struct filter *f)
{
	__u64 task = bpf_get_current_task();

	if (f->numbers[1] && user_ns_of(task) == f->numbers[1])
		return false;
	return ((capabilities_of(task, f->value) & f->numbers[0]) != 0) == (f->op == OP_MASK);
}

static __always_inline bool task_matches(const struct filter *f)
{
	if (f->class == CLASS_CAPABILITY)
		return capabilities_match(f);
	return number_among(f, false, namespace_of(bpf_get_current_task(), f->value)) == (f->op == OP_EQUAL);
}

/* The process whose changes a selector has matched, and that selector. */
struct changed_key {
	__u32 tgid;
	struct selector_id selector;
};

/*
 * The privileges of a process when a selector last matched: its next change is one from there. A full table forgets entries that were
 * not used for long: then a change is reported again. `since_ns` differs if the process has forked or run another program since.
 */
MAP(LRU_HASH, changed, struct changed_key, struct privileges, 16384);

static __always_inline struct changed_key changed_key(const struct selector *selector)
{
	return (struct changed_key){
		.tgid = bpf_get_current_pid_tgid() >> 32,
		.selector = { .policy_hook = selector->policy_hook, .index = selector->index },
	};
}

/* The privileges that the selector compares with; NULL: unknown. */
static __always_inline struct privileges *privileges_before(const struct selector *selector)
{
	struct changed_key key = changed_key(selector);
	struct privileges *had = bpf_map_lookup_elem(&privileges, &key.tgid);
	struct privileges *matched = bpf_map_lookup_elem(&changed, &key);

	if (matched && matched->since_ns == (had ? had->since_ns : 0))
		return matched;
	return had;
}

/* Whether a privilege that the filter names has changed; PERHAPS if unknown. */
__noinline int change_matches(__u32 selector_key, __u32 i)
{
	struct selector *selector = bpf_map_lookup_elem(&selectors, &selector_key);
	__u64 task = bpf_get_current_task();
	struct privileges *had;
	struct filter *f;
	__u32 set, n;

	if (!asks_changes || !selector || i >= FILTERS_MAX)
		return NOT_SO;
	f = &selector->filters[i];
	if (f->class == CLASS_CAPABILITY_CHANGE && f->numbers[1] && user_ns_of(task) == f->numbers[1])
		return NOT_SO;
	had = privileges_before(selector);
	if (!had)
		return PERHAPS;
	if (f->class == CLASS_CAPABILITY_CHANGE) {
		set = f->value;
		if (set >= CAPABILITY_KINDS)
			return NOT_SO;
		return (capabilities_of(task, set) ^ had->capabilities[set]) & f->numbers[0] ? SURELY : NOT_SO;
	}
	for (n = 0; n < NAMESPACE_KINDS; n++) {
		if (f->numbers[0] >> n & 1 && namespace_of(task, n) != had->namespaces[n])
			return SURELY;
	}
	return NOT_SO;
}

/* The selector has matched, and the call is reported or need not be. */
__noinline int changes_matched(__u32 selector_key)
{
	struct selector *selector = bpf_map_lookup_elem(&selectors, &selector_key);
	struct changed_key key;
	struct privileges now = {}, *had;

	if (!asks_changes || !selector)
		return 0;
	key = changed_key(selector);
	had = bpf_map_lookup_elem(&privileges, &key.tgid);
	now.since_ns = had ? had->since_ns : 0;
	read_privileges(bpf_get_current_task(), &now);
	bpf_map_update_elem(&changed, &key, &now, BPF_ANY);
	return 0;
}

#endif
