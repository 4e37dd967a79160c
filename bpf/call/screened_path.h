/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_CALL_SCREENED_PATH_H
#define KTRAIL_CALL_SCREENED_PATH_H

/*
 * The selectors that the path of a call may match, found by walking its dentries without writing it: whole values and prefixes, ends, and parts.
 */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "../base/path.h"
#include "../base/path_text.h"
#include "../frame/filter.h"
#include "../match/set.h"
#include "../base/components.h"
#include "../frame/texts.h"
#include "../frame/hook.h"
#include "../frame/scratch.h"

#define OPEN_ENDS (1u << 31)

/* Adds a set to the selectors that the path leaves. */
__noinline int add_left(__u32 slot, __u32 set)
{
	struct scratch *s = scratch_of(slot);

	if (s)
		set_add(s->left, SET_WORDS, set);
	return 0;
}

/* Adds the selectors of names by the first or last (OPEN_ENDS) bytes of `word`. */
__noinline int add_open(__u32 slot, __u32 node, __u32 open, __u64 word, __u32 len)
{
	struct edge key = { .node = node };
	struct node *found;
	__u32 n, bit;

	if (len < EDGE_OPEN_MAX)
		open &= OPEN_ENDS | ((1u << len) - 1);
	for (n = 1; n <= EDGE_OPEN_MAX; n++) {
		bit = open >> (n - 1);
		/* barrier_var: else the verifier follows each combination of known bits of `open`. */
		barrier_var(bit);
		if (!(bit & 1))
			continue;
		/* In keys of path ends, the last byte is the most significant. */
		key.word = open & OPEN_ENDS ? word >> (8 * (EDGE_OPEN_MAX - n)) : first_of(word, n);
		key.len = EDGE_OPEN | n;
		found = bpf_map_lookup_elem(&edges, &key);
		if (found)
			add_left(slot, found->here);
	}
	return 0;
}

/* The dentry of a component of the path that was walked, counted from the root. */
static __always_inline struct dentry *walked(struct scratch *s, __u32 level)
{
	return TYPED(dentry, s->ring[(s->top.depth - 1 - level) & (TOP_MAX - 1)]);
}

/* Adds the selectors that the tree has along the path's components behind the shared ones; `word` and `len`: of the first one there. 0: not in the tree. */
__noinline int add_prefixes(__u32 slot, __u64 word, __u32 len)
{
	struct scratch *s = scratch_of(slot);
	const volatile struct path_screen *wanted = &hooks[slot & (HOOK_SLOTS - 1)].path;
	struct node node = { wanted->root.id, wanted->root.here, wanted->root.below, wanted->root.open };
	struct node *next;
	struct edge key = {};
	__u32 level, depth;

	if (!s)
		return 1;
	depth = s->top.depth;
	for (level = wanted->nshared; level < PREFIX_PARTS; level++) {
		if (level >= depth || !node.id)
			break;
		if (level > wanted->nshared)
			word = component_of(walked(s, level), &len);
		key.node = node.id;
		key.len = len;
		key.word = word;
		if (node.open)
			add_open(slot, node.id, node.open, key.word, key.len);
		next = bpf_map_lookup_elem(&edges, &key);
		if (!next)
			break;
		node = *next;
	}
	set_add(s->left, hooks[slot & (HOOK_SLOTS - 1)].words, level < depth ? node.below : node.here);
	return level > wanted->nshared;
}

/*
 * Whether the path has the components that all values begin with, or may have one of several first ones. The last shared one comes first: a neighbour of a
 * wanted folder, and most other paths, differ there. `first` is the path's first component.
 */
static __always_inline bool may_be_wanted(const volatile struct path_screen *wanted, struct scratch *s, struct dentry *first)
{
	__u32 n = wanted->nshared, i, len;

	if (!n)
		return may_begin(wanted, component_of(first, &len), &len);
	if ((n > 1 && s->top.depth < n) || !is_shared(n == 1 ? first : walked(s, n - 1), &wanted->shared[0]))
		return false;
	for (i = 1; i < SHARED_MAX; i++) {
		if (i >= n)
			break;
		if (!is_shared(walked(s, n - 1 - i), &wanted->shared[i]))
			return false;
	}
	return true;
}

/* Adds the selectors of whole values and prefixes to a path that may be wanted; false if there are none. */
static __always_inline bool add_wanted(__u32 slot, const volatile struct hook *hook, struct scratch *s)
{
	const volatile struct path_screen *wanted = &hook->path;
	__u32 len, set = EMPTY_SET;
	__u64 word;

	if (s->top.depth == wanted->nshared) {
		set = wanted->root.here;
	} else if (!wanted->root.id) {
		/* Every path behind the shared components is wanted, or none. */
		set = wanted->root.below;
	} else {
		word = component_of(walked(s, wanted->nshared), &len);
		return may_begin(wanted, word, &len) &&
		       (add_prefixes(slot, word, len) || wanted->root.below != EMPTY_SET || wanted->root.open);
	}
	set_add(s->left, hook->words, set);
	return set != EMPTY_SET;
}

/* Adds the selectors for paths that end as this one does. */
__noinline int add_suffixes(__u32 slot)
{
	struct scratch *s = scratch_of(slot);
	const volatile struct path_screen *wanted = &hooks[slot & (HOOK_SLOTS - 1)].path;
	struct edge key = { .node = wanted->suffix };
	struct node *node;
	__u64 dentry, name;
	__u32 len;

	if (!s)
		return 0;
	dentry = s->at.dentry;
	len = LOAD(dentry, dentry, d_name.len);
	name = (__u64)LOAD(dentry, dentry, d_name.name);
	key.len = len;
	/* If the file is the root of a mount (a single file bound over another), its name is the mount point's. */
	if (dentry == (__u64)LOAD(mount, s->at.mount, mnt.mnt_root)) {
		set_add(s->left, SET_WORDS, wanted->suffixes);
		return 0;
	}
	/* A name shorter than the word is read from its start and moved up, never from before its start. */
	key.word = len >= 8 ? bytes_at(name + len - 8) : len ? bytes_at(name) << (64 - 8 * len) : 0;
	node = bpf_map_lookup_elem(&edges, &key);
	if (node)
		set_add(s->left, SET_WORDS, node->here);
	if (wanted->suffix_open)
		add_open(slot, wanted->suffix, OPEN_ENDS | wanted->suffix_open, key.word, len);
	return 0;
}

/* 1: a function of this object has selectors with a SubString on the screened path. Else their code is removed before a load. */
const volatile __u32 asks_parts = 0;

#ifndef KTRAIL_TYPED
/* Eight bytes of a name would take a call of a helper: the text decides. */
static __always_inline int search_name(__u32 slot, __u32 level) { return true; }
#else
/* Continues the search in a component of the path that was walked, and the slash before it; true if it has found a value. */
__noinline int search_name(__u32 slot, __u32 level)
{
	struct scratch *s = scratch_of(slot);
	struct automaton_row *row;
	__u32 state, next, len, i;
	struct dentry *dentry;
	__u64 name, word = 0;

	if (!asks_parts || !s)
		return false;
	state = s->search.state;
	row = bpf_map_lookup_elem(&automata, &state);
	if (!row)
		return true;
	dentry = walked(s, level);
	len = FIELD(dentry, d_name.len);
	name = (__u64)FIELD(dentry, d_name.name);
	next = row->next['/'];
	_Pragma("nounroll")
	for (i = 0; i <= NAME_BYTES; i++) {
		/* Most bytes leave it in the first state. */
		if (next != state) {
			if (next == AUTOMATON_FOUND)
				return true;
			state = next;
			row = bpf_map_lookup_elem(&automata, &state);
			if (!row)
				return true;
		}
		if (i >= len) {
			s->search.state = state;
			return false;
		}
		if (!(i & 7))
			word = bytes_at(name + i);
		next = row->next[(__u8)word];
		word >>= 8;
	}
	return true; /* a longer name: its text decides */
}
#endif

/* Adds the selectors for paths that contain a value. The text decides about a deep path, and about the mark of an unlinked file. */
__noinline int add_parts(__u32 slot)
{
	struct scratch *s = scratch_of(slot);
	const volatile struct path_screen *wanted = &hooks[slot & (HOOK_SLOTS - 1)].path;
	__u32 level;

	if (!asks_parts || !s)
		return 0;
	s->search.state = wanted->automaton;
	if (s->top.depth <= TOP_MAX && !is_deleted(s->at.dentry)) {
		_Pragma("nounroll")
		for (level = 0; level < TOP_MAX; level++) {
			if (level >= s->top.depth)
				return 0;
			if (search_name(slot, level))
				break;
		}
		if (level == TOP_MAX)
			return 0;
	}
	set_add(s->left, SET_WORDS, wanted->parts);
	return 0;
}

/* Walks the path of `at`, and puts the selectors that it may match into `left`; false if there are none. If the walk did not finish, all are left. */
static __always_inline bool judge_path(__u32 slot, const volatile struct hook *hook, struct scratch *s, struct place at,
				       struct task_struct *task, bool always)
{
	const volatile struct path_screen *wanted = &hook->path;
	struct dentry *first = walk_top(at, root_of(task), &s->top, s->ring, always);
	__u32 words = hook->words, n = wanted->nshared;
	bool found = first && may_be_wanted(wanted, s, first);

	if (first && !found && !wanted->suffixes && !wanted->others && !wanted->parts)
		return false;
	if (wanted->others)
		set_copy(s->left, words, wanted->others);
	else
		set_clear(s->left, words);
	if (!first) {
		if (!s->top.depth)
			return wanted->others;
		set_add(s->left, words, wanted->all);
		return true;
	}
	/* A file beside wanted folders ends here. */
	if (found && !add_wanted(slot, hook, s) && !wanted->suffixes && !wanted->others && !wanted->parts)
		return false;
	/* The record begins with it. */
	if (found && n && n <= SHARED_MAX)
		s->first = (struct component){ wanted->shared[n - 1].word, wanted->shared[n - 1].len };
	else
		s->first.word = component_of(first, &s->first.len);
	if (wanted->suffixes)
		add_suffixes(slot);
	if (wanted->parts)
		add_parts(slot);
	return true;
}

/*
 * Repeats judge_path, because something was renamed or mounted since an earlier call on this CPU: perhaps during the walk, which then may have read names
 * of other dentries. If this walk meets a rename too, all selectors are left. Static: with the slot known, the verifier skips what its hook does not have.
 */
static __noinline int screen_again(__u32 slot)
{
	const volatile struct hook *hook = &hooks[slot & (HOOK_SLOTS - 1)];
	struct scratch *s = scratch_of(slot);
	bool left;

	if (!s)
		return 0;
	s->top.locks = locks_before();
	left = judge_path(slot, hook, s, s->at, current_task(), false);
	if (!locks_moved(s->top.locks))
		return left;
	s->top.whole = false;
	set_add(s->left, SET_WORDS, hook->path.all);
	return true;
}

/*
 * Puts into `left` the selectors that this path may match; false if there are none. The second half uses `top`. The locks are read once: if they
 * are as in the previous call, they did not move during the walk.
 */
static __always_inline bool screen_path(__u32 slot, const volatile struct hook *hook, struct scratch *s, struct place at,
					struct task_struct *task)
{
	bool left;

	s->at = at;
	left = judge_path(slot, hook, s, at, task, true);
	return locks_moved(s->top.locks) ? screen_again(slot) : left;
}

#endif
