/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_MATCH_ABOVE_H
#define KTRAIL_MATCH_ABOVE_H

/* Which identity filters want a file: the walk over what is above it. See match/identity.h. */

#include "../vmlinux/kernel.h"
#include "../core_fixes.h"
#include "../event.h"
#include "../maps.h"
#include "../path.h"
#include "../path_text.h"
#include "identity.h"

/* By identity. Also with number 0 for each file system that has one of them: `below` is then all filters that have something there. */
MAP(HASH, identities, struct identity, struct identity_filters, 1);

/* By name in a folder. */
MAP(HASH, identity_names, struct identity_name, struct identity_filters, 1);

MAP(HASH, linked, struct identity, struct linked_filters, 1);

/* Those that nobody has looked at for longest give way: they may be deleted by now. */
MAP(LRU_HASH, left_files, struct identity, struct identity_filters, 1);

MAP(ARRAY, identity_screen, __u32, struct identity_screen, 1);

MAP(ARRAY, linked_news, __u32, struct linked_news, 1);

/* By slot; user space sets how many. */
MAP(PERCPU_ARRAY, file_walks, __u32, struct file_walk, 1);

static __always_inline struct file_walk *file_walk_of(__u32 slot)
{
	return bpf_map_lookup_elem(&file_walks, &slot);
}

static __always_inline struct identity_screen *screen_of_files(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&identity_screen, &zero);
}

static __always_inline struct linked_news *news_of_links(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&linked_news, &zero);
}

static __always_inline __u64 identity_hash(__u64 number)
{
	return number * 0x9e3779b97f4a7c15ull;
}

static __always_inline bool may_be(const __u64 *set, __u64 number)
{
	__u64 hash = identity_hash(number);

	return set[hash >> 62] >> (hash >> 56 & 63) & 1;
}

static __always_inline __u32 device_of(__u64 super)
{
	return LOAD(super_block, super, s_dev);
}

static __always_inline struct identity identity_of(__u64 inode)
{
	return (struct identity){
		.ino = LOAD(inode, inode, i_ino),
		.dev = device_of((__u64)LOAD(inode, inode, i_sb)),
		.generation = LOAD(inode, inode, i_generation),
	};
}

/* Notes by which path of a policy a file is wanted. */
static __always_inline void add_name(__u32 *names, __u32 named)
{
	__u32 i;

	for (i = 0; i < NAMED_MAX; i++) {
		if (names[i] && names[i] != named)
			continue;
		names[i] = named;
		return;
	}
}

static __always_inline void add_names(__u32 *names, const __u32 *others)
{
	__u32 i;

	for (i = 0; i < NAMED_MAX; i++) {
		if (others[i])
			add_name(names, others[i]);
	}
}

static __always_inline void clear_names(__u32 *names)
{
	__u32 i;

	for (i = 0; i < NAMED_MAX; i++)
		names[i] = 0;
}

static __always_inline void add_filters(struct file_walk *w, const struct identity_filters *found)
{
	__u64 hits;

	if (!found)
		return;
	hits = found->below | (w->own ? found->own : 0);
	w->hits |= hits;
	if (hits && found->named)
		add_name(w->named, found->named);
}

/* Adds what `w->inode`, the file or a folder above it, is wanted by. Global, as add_open. */
__noinline int add_identity(__u32 slot)
{
	struct file_walk *w = file_walk_of(slot);
	struct identity key;

	if (!w)
		return 0;
	key = identity_of(w->inode);
	add_filters(w, bpf_map_lookup_elem(&identities, &key));
	return 0;
}

/* Adds below which folders `w->inode`, the file or a folder above it, was before it was moved away. Global, as add_open. */
__noinline int add_kept(__u32 slot)
{
	struct file_walk *w = file_walk_of(slot);
	struct linked_news *news = news_of_links();
	struct identity key;

	if (!asks_sticky || !w || !news)
		return 0;
	key = identity_of(w->inode);
	if (may_be(news->left, key.ino))
		add_filters(w, bpf_map_lookup_elem(&left_files, &key));
	return 0;
}

/* The same by the name of `w->at` in the folder `w->inode`. Global, as add_open. */
__noinline int add_named(__u32 slot)
{
	struct file_walk *w = file_walk_of(slot);
	__u32 len;

	if (!w)
		return 0;
	len = LOAD(dentry, w->at, d_name.len);
	if (len >= IDENTITY_NAME_BYTES)
		return 0;
	w->key.folder = identity_of(w->inode);
	__builtin_memset(w->key.name, 0, sizeof(w->key.name));
	bpf_probe_read_kernel(w->key.name, len & (IDENTITY_NAME_BYTES - 1), LOAD(dentry, w->at, d_name.name));
	add_filters(w, bpf_map_lookup_elem(&identity_names, &w->key));
	return 0;
}

#define S_IFMT 0170000
#define S_IFDIR 0040000

/*
 * Adds what the file `w->inode` is wanted by through another of its links. One that lost its name, or got one since (O_TMPFILE), may have one link, and not
 * the one by which it was opened. Global, as add_open.
 */
__noinline int add_linked(__u32 slot)
{
	struct file_walk *w = file_walk_of(slot);
	struct identity_screen *screen = screen_of_files();
	struct linked_news *news = news_of_links();
	struct linked_filters *found;
	struct identity key;

	if (!w || !screen || !news || (LOAD(inode, w->inode, i_mode) & S_IFMT) == S_IFDIR)
		return 0;
	key = identity_of(w->inode);
	found = bpf_map_lookup_elem(&linked, &key);
	if (found) {
		w->hits |= found->filters;
		add_names(w->named, found->named);
	} else if (screen->unknown | news->unknown) {
		w->hits |= screen->unknown | news->unknown;
		w->flags |= VALUE_UNRESOLVED;
	}
	return 0;
}

/* A dentry that hangs in no tree, as that of a handle opened while its folder was not in memory: what is above it is not known. Global, as add_open. */
__noinline int add_unknown(__u32 slot, __u32 dev)
{
	struct file_walk *w = file_walk_of(slot);
	struct identity key = { .dev = dev };
	struct identity_filters *found = bpf_map_lookup_elem(&identities, &key);

	if (w && found && found->below & ~w->hits) {
		w->hits |= found->below;
		w->flags |= VALUE_UNRESOLVED;
	}
	return 0;
}

static __always_inline int file_step(__u32 slot)
{
	struct file_walk *w = file_walk_of(slot);
	struct identity_screen *screen = screen_of_files();
	__u64 dentry, parent, inode;
	__u32 seq;

	if (!w || !screen)
		return 1;
	dentry = w->at;
	w->own = dentry == w->dentry;
	inode = (__u64)LOAD(dentry, dentry, d_inode);
	w->inode = inode;
	if (inode && may_be(screen->files, LOAD(inode, inode, i_ino)))
		add_identity(slot);
	if (asks_sticky && inode)
		add_kept(slot);
	parent = (__u64)LOAD(dentry, dentry, d_parent);
	if (parent == dentry) {
		w->done = true;
		return 1;
	}
	inode = (__u64)LOAD(dentry, parent, d_inode);
	w->inode = inode;
	if (inode && may_be(screen->folders, LOAD(inode, inode, i_ino)))
		add_named(slot);
	w->trace = (w->trace + dentry) * 0x9e3779b97f4a7c15ull;
	/* Last: it then vouches for what was read before. */
	barrier();
	seq = LOAD(dentry, dentry, d_seq.seqcount.sequence);
	w->moving |= seq & 1;
	w->trace = (w->trace + seq) * 0x9e3779b97f4a7c15ull;
	w->at = parent;
	return 0;
}
LOOP_STEP(file_step)

/* One exact walk. `w->at` is then the root that it reached. */
__noinline int walk_above(__u32 slot)
{
	struct file_walk *w = file_walk_of(slot);

	if (!w)
		return 0;
	w->at = w->dentry;
	w->hits = 0;
	w->trace = 1;
	w->moving = 0;
	w->done = false;
	LOOP(TEXT_HOPS, file_step, slot);
	return 0;
}

/* Where the first walk met a rename, or its budget ended: as path_text. Filters that stay unknown match. */
__noinline int settle_above(__u32 slot)
{
	struct file_walk *w = file_walk_of(slot);
	bool settled = false;
	__u64 locks;
	__u64 before = 0;
	__u32 try;

	if (!w)
		return 0;
#pragma nounroll
	for (try = 0; try < TEXT_TRIES; try++) {
		locks = locks_before();
		walk_above(slot);
		settled = !locks_moved(locks);
		if (settled)
			break;
		count(COUNTER_PATH_RACED);
		settled = w->trace == before && !w->moving;
		if (settled)
			break;
		before = w->trace;
	}
	if (!settled) {
		count(COUNTER_PATH_UNSTABLE);
		w->flags |= VALUE_UNSTABLE;
		w->hits = ~0ull;
	} else if (!w->done) {
		count(COUNTER_PATH_TOO_DEEP);
		w->flags |= VALUE_UNRESOLVED;
		w->hits = ~0ull;
	}
	return 0;
}

/* The first walk: most files have nothing to do with any filter. False: it could not finish. */
static __always_inline bool walk_quickly(__u32 slot, struct file_walk *w, const struct identity_screen *screen)
{
	__u64 locks = locks_before();
	struct linked_news *news = 0;
	__u64 dentry = w->dentry, inode, parent;
	__u32 hops = unknown_zero;

	if (asks_sticky) {
		news = news_of_links();
		if (!news)
			return true;
	}
	inode = (__u64)LOAD(dentry, dentry, d_inode);
	w->own = true;
	for (; hops < IDENTITY_HOPS; hops++) {
		if (inode && may_be(screen->files, LOAD(inode, inode, i_ino))) {
			w->inode = inode;
			add_identity(slot);
		}
		if (asks_sticky && inode && may_be(news->left, LOAD(inode, inode, i_ino))) {
			w->inode = inode;
			add_kept(slot);
		}
		parent = (__u64)LOAD(dentry, dentry, d_parent);
		if (parent == dentry) {
			w->at = dentry;
			return !locks_moved(locks);
		}
		inode = (__u64)LOAD(dentry, parent, d_inode);
		if (inode && may_be(screen->folders, LOAD(inode, inode, i_ino))) {
			w->inode = inode;
			w->at = dentry;
			add_named(slot);
		}
		w->own = false;
		dentry = parent;
	}
	return false;
}

static __always_inline bool is_wanted_device(const struct identity_screen *screen, __u64 super)
{
	return screen->devices >> (identity_hash(device_of(super)) >> 58) & 1;
}

/* Adds to the slot's walk which filters want the file of a dentry. */
static __always_inline void judge_file(__u32 slot, struct file_walk *w, __u64 dentry)
{
	struct identity_screen *screen = screen_of_files();
	__u64 super, inode, hits = w->hits;

	if (!dentry || !screen)
		return;
	super = (__u64)LOAD(dentry, dentry, d_sb);
	if (!is_wanted_device(screen, super))
		return;
	w->dentry = dentry;
	if (!walk_quickly(slot, w, screen))
		settle_above(slot);
	w->hits |= hits;
	if (w->at != (__u64)LOAD(super_block, super, s_root) && !w->flags)
		add_unknown(slot, device_of(super));
	inode = (__u64)LOAD(dentry, dentry, d_inode);
	if (!inode)
		return;
	if (LOAD(inode, inode, i_nlink) > 1 || is_deleted(dentry)) {
		w->inode = inode;
		add_linked(slot);
	}
}

static __always_inline void judge_nothing(struct file_walk *w)
{
	w->hits = 0;
	w->flags = 0;
	clear_names(w->named);
}

#endif
