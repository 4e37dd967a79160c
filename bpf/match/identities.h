/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_MATCH_IDENTITIES_H
#define KTRAIL_MATCH_IDENTITIES_H

/* The identity filters that match one file or folder: the maps of their files, and the look-ups. See frame/identity.h. */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "../event.h"
#include "../base/path_text.h"
#include "../frame/identity.h"

/*
 * These maps are empty, and not made for programs without such filters. Such programs never look them up, which `asks_files` shows to the verifier.
 */

/* By identity. Number 0 stands for a file system with such files: its `below` has all filters with files or folders there. */
MAP(HASH, identities, struct identity, struct identity_filters, 0);

/* By name in a folder. */
MAP(HASH, identity_names, struct identity_name, struct identity_filters, 0);

MAP(HASH, linked, struct identity, struct linked_filters, 0);

/* The entries that were not used for longest give way: their files may be deleted by now. */
MAP(LRU_HASH, left_files, struct identity, struct identity_filters, 0);

/* Files of `identities` that lost their last name: a file with this number is another one. User space removes what it has read. */
MAP(HASH, gone_files, struct identity, __u8, 0);

MAP(ARRAY, identity_screen, __u32, struct identity_screen, 0);

MAP(ARRAY, linked_news, __u32, struct linked_news, 0);

/* By slot; user space sets the number of slots. */
MAP(PERCPU_ARRAY, file_walks, __u32, struct file_walk, 0);

static __always_inline struct file_walk *file_walk_of(__u32 slot)
{
	return asks_files ? bpf_map_lookup_elem(&file_walks, &slot) : 0;
}

static __always_inline struct identity_screen *screen_of_files(void)
{
	__u32 zero = 0;

	return asks_files ? bpf_map_lookup_elem(&identity_screen, &zero) : 0;
}

static __always_inline struct linked_news *news_of_links(void)
{
	__u32 zero = 0;

	return asks_files ? bpf_map_lookup_elem(&linked_news, &zero) : 0;
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

/* Notes a number in a set that programs write. */
static __always_inline void note_number(__u64 *set, __u64 number)
{
	__u64 hash = identity_hash(number);

	__sync_fetch_and_or(&set[hash >> 62], 1ull << (hash >> 56 & 63));
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

/* Notes the path of a policy by which a file matches. */
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

/* Adds the filters that match `w->inode`, the file or a folder above it. */
__noinline int add_identity(__u32 slot)
{
	struct file_walk *w = file_walk_of(slot);
	struct linked_news *news;
	struct identity key;

	if (!w)
		return 0;
	key = identity_of(w->inode);
	if (w->own) {
		news = news_of_links();
		if (news && may_be(news->gone, key.ino) && bpf_map_lookup_elem(&gone_files, &key))
			return 0;
	}
	add_filters(w, bpf_map_lookup_elem(&identities, &key));
	return 0;
}

/* Adds the filters of folders from which `w->inode`, the file or one above it, was moved away. */
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

/* Adds those for the name of `w->at` in folder `w->inode`. */
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
 * Adds the filters that match the file `w->inode` by another of its links. If the file lost its name, or got one later (O_TMPFILE), its only link
 * may not be the one that opened it.
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
	/* The file of such a round lost its last name: only a descriptor leads to it, and a file with a name is another one. */
	if (found && found->round == NO_ROUND && !is_deleted(w->dentry))
		found = 0;
	if (found) {
		w->hits |= found->filters;
		add_names(w->named, found->named);
	} else if (screen->unknown | news->unknown) {
		w->hits |= screen->unknown | news->unknown;
		w->flags |= VALUE_UNRESOLVED;
	}
	return 0;
}

/* A disconnected dentry, as of a handle opened while its folder was not in memory: the folders above it are unknown. */
__noinline int add_unknown(__u32 slot, __u32 dev)
{
	struct file_walk *w = file_walk_of(slot);
	struct identity key = { .dev = dev };
	struct identity_filters *found = w ? bpf_map_lookup_elem(&identities, &key) : 0;

	if (w && found && found->below & ~w->hits) {
		w->hits |= found->below;
		w->flags |= VALUE_UNRESOLVED;
	}
	return 0;
}

#endif
