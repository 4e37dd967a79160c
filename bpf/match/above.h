/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_MATCH_ABOVE_H
#define KTRAIL_MATCH_ABOVE_H

/* The identity filters that match a file, also by the folders above it: the walk from the file upwards. See frame/identity.h. */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "../event.h"
#include "../base/maps.h"
#include "../base/path.h"
#include "../base/path_text.h"
#include "../frame/identity.h"
#include "identities.h"

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
	/* Read last, d_seq covers the reads above. */
	barrier();
	seq = LOAD(dentry, dentry, d_seq.seqcount.sequence);
	w->moving |= seq & 1;
	w->trace = (w->trace + seq) * 0x9e3779b97f4a7c15ull;
	w->at = parent;
	return 0;
}
LOOP_STEP(file_step)

/* One exact walk. Afterwards `w->at` is the root. */
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

/* Walks exactly, as path_text, if the first walk met a rename or its budget ended. Filters that stay unknown match. */
__noinline int settle_above(__u32 slot)
{
	struct file_walk *w = file_walk_of(slot);
	bool settled;

	if (!w)
		return 0;
	WALK_SETTLED(settled, walk_above, slot, w);
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
	for (; hops < IDENTITY_HOPS && GOES_ON; hops++) {
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

/* Adds the filters that match the file of a dentry to the slot's walk. */
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
