/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_PATH_TEXT_H
#define KTRAIL_PATH_TEXT_H

/*
 * The second pass over a path (path.h): its text. Names come leaf first, so it is laid out from the end of a buffer, and
 * the caller takes it from there.
 *
 * The kernel's locks count every rename and mount, also of those elsewhere, which any user may do without a pause.
 * So when they moved, the walk checks the dentries themselves: a rename changes the d_seq of the dentries that it moves
 * (fs/dcache.c __d_move). Two walks in a row must find the same dentries and mounts, with the same even d_seq each. Then
 * no name or parent changed from the end of the first to the start of the second: the text was true then.
 * Nothing is freed meanwhile, because a program runs under RCU. Mounts have no number of their own: one that is moved
 * away and back between two walks is missed, and its owner could have left it there as well.
 *
 * Its functions are global, with plain numbers as arguments: the verifier checks each once by itself, and not once
 * more in every state of its callers.
 */

#include "vmlinux/kernel.h"
#include "core_fixes.h"
#include "event.h"
#include "maps.h"
#include "path.h"

#define DELETED_BYTES 10 /* " (deleted)" */
#define NAME_BYTES 255   /* maximum bytes of a name in nearly all file systems */
#define TEXT_TRIES 4
#define TEXT_HOPS 4096   /* budget of each try; a path of 4,096 bytes has at most 2,048 components */

struct text_walk {
	struct place start, at, root;
	__u64 mnt_root;
	__u64 trace;   /* hash of the dentries and mounts on the way, and of their d_seq */
	__u32 need;    /* bytes of the names so far */
	__u32 fit;     /* bytes of the names that had room */
	__u32 moving;  /* 1: a d_seq was odd, because a rename was in progress */
	__u32 done;
	char text[2 * PATH_BYTES];  /* the text ends at PATH_BYTES; the verifier needs the rest, because it adds bounds */
};

/* One entry for each function in an object; user space sets the number. It is separate because the scratch of a call is full (32 KiB a CPU). */
MAP(PERCPU_ARRAY, walks, __u32, struct text_walk, 1);

static __always_inline struct text_walk *walk_of(__u32 slot)
{
	return bpf_map_lookup_elem(&walks, &slot);
}

static __always_inline void trace(struct text_walk *w, __u64 met)
{
	w->trace = (w->trace + met) * 0x9e3779b97f4a7c15ull;
}

static __always_inline int text_step(__u32 slot)
{
	struct text_walk *w = walk_of(slot);
	__u64 dentry, mount, parent, up;
	__u32 len, need, from, seq;
	const void *name;

	if (!w)
		return 1;
	dentry = w->at.dentry;
	mount = w->at.mount;
	trace(w, dentry);
	trace(w, mount);
	if (dentry == w->root.dentry && mount == w->root.mount)
		goto done;
	if (dentry == w->mnt_root) {
		up = (__u64)LOAD(mount, mount, mnt_parent);
		if (up == mount)
			goto done;
		parent = (__u64)LOAD(mount, mount, mnt_mountpoint);
		w->at.dentry = parent;
		w->at.mount = up;
		w->mnt_root = (__u64)LOAD(mount, up, mnt.mnt_root);
		return 0;
	}
	parent = (__u64)LOAD(dentry, dentry, d_parent);
	if (parent == dentry)
		goto done;
	len = LOAD(dentry, dentry, d_name.len);
	/* Up to PATH_MAX - 1 bytes in some file systems. */
	need = w->need + len + 1;
	w->need = need;
	if (need < PATH_BYTES) {
		w->fit = need;
		from = (PATH_BYTES - need) & (PATH_BYTES - 1);
		w->text[from] = '/';
		name = LOAD(dentry, dentry, d_name.name);
		bpf_probe_read_kernel(w->text + from + 1, len & (PATH_BYTES - 1), name);
	}
	/* Read last, d_seq covers the reads above. */
	barrier();
	seq = LOAD(dentry, dentry, d_seq.seqcount.sequence);
	w->moving |= seq & 1;
	trace(w, seq);
	w->at.dentry = parent;
	return 0;
done:
	w->done = true;
	return 1;
}
LOOP_STEP(text_step)

/* One walk from its start to the task's root. */
__noinline int walk_text(__u32 slot)
{
	struct text_walk *w = walk_of(slot);

	if (!w)
		return 0;
	w->at = w->start;
	w->root = root_of(current_task());
	w->mnt_root = (__u64)LOAD(mount, w->at.mount, mnt.mnt_root);
	w->trace = 1;
	w->need = 0;
	w->fit = 0;
	w->moving = 0;
	w->done = false;
	LOOP(TEXT_HOPS, text_step, slot);
	return 0;
}

/* The text of the start as the task sees it. Returns its length, and above 16 bits enum value_flag. */
__noinline int path_text(__u32 slot)
{
	struct text_walk *w = walk_of(slot);
	bool settled = false;
	__u64 locks;
	__u32 try, len, flags = 0;
	__u64 before = 0;

	if (!w)
		return 0;
#pragma nounroll
	for (try = 0; try < TEXT_TRIES; try++) {
		locks = locks_before();
		walk_text(slot);
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
		flags |= VALUE_UNSTABLE;
	}
	if (!w->done)
		count(COUNTER_PATH_TOO_DEEP);
	len = w->fit;
	if (!w->done || w->need > len)
		flags |= VALUE_UNRESOLVED;
	return len | flags << 16;
}

static __always_inline bool is_deleted(__u64 dentry)
{
	return !LOAD(dentry, dentry, d_hash.pprev) && (__u64)LOAD(dentry, dentry, d_parent) != dentry;
}

/*
 * A file in memory (memfd) hangs in no tree: named as d_path does it (fs/d_path.c simple_dname), into `to`, which has room for
 * 512 bytes. Returns the length; 0: it is no such file.
 */
static __always_inline __u32 put_memory_name(__u64 dentry, char *to)
{
	__u32 len;
	long got;

	if ((__u64)LOAD(dentry, dentry, d_parent) != dentry)
		return 0;
	to[0] = '/';
	got = bpf_probe_read_kernel_str(to + 1, 256, LOAD(dentry, dentry, d_name.name));
	if (got <= 1)
		return 0;
	len = got & 0x1ff;
	__builtin_memcpy(to + len, " (deleted)", DELETED_BYTES);
	return len + DELETED_BYTES;
}

/* Marks the text of an unlinked file; returns its length. */
static __always_inline __u32 with_mark(__u64 dentry, char *text, __u32 len, __u16 *flags)
{
	len &= PATH_BYTES - 1;
	if (is_deleted(dentry)) {
		__builtin_memcpy(text + len, " (deleted)", DELETED_BYTES);
		len += DELETED_BYTES;
		*flags |= VALUE_DELETED;
	}
	return len;
}

/* Writes the text of a place to `to`, which has room for 2 * PATH_BYTES. Returns its length; *flags as in value_flag. */
static __always_inline __u32 put_path(__u32 slot, struct place at, char *to, __u16 *flags)
{
	struct text_walk *w = walk_of(slot);
	__u32 got, len, from;

	if (!w)
		return 0;
	w->start = at;
	got = path_text(slot);
	*flags = got >> 16;
	len = got & (PATH_BYTES - 1);
	from = (PATH_BYTES - w->fit) & (PATH_BYTES - 1);
	bpf_probe_read_kernel(to, len, w->text + from);
	return len ? with_mark(at.dentry, to, len, flags) : 0;
}

/* Copies a name. Up to 16 bytes whole words, which `to` has room for: a helper call costs more. */
static __always_inline void put_name(char *to, __u64 name, __u32 len)
{
#ifdef KTRAIL_TYPED
	if (len <= 16) {
		*(__u64 *)to = bytes_at(name);
		if (len > 8)
			*(__u64 *)(to + 8) = bytes_at(name + 8);
		return;
	}
#endif
	bpf_probe_read_kernel(to, len & NAME_BYTES, (void *)name);
}

/*
 * Makes the text from the dentries of the first pass, without a second walk. Returns 0 if some are missing, or if a file moved since. `first`: the
 * first component, if there is one. The length starts unknown; else the verifier follows each range of
 * lengths from round to round, another 14,000 instructions.
 */
static __always_inline __u32 top_text(const struct top *top, const __u64 *ring, const struct component *first, const __u64 *leaf,
				      char *text, __u16 *flags)
{
	__u32 depth = top->depth, at = unknown_zero, len, i = 0;
	struct dentry *dentry;

	if (!top->whole || depth > TOP_MAX)
		return 0;
	if (depth && first->len <= sizeof(first->word)) {
		text[0] = '/';
		*(__u64 *)(text + 1) = first->word;
		at += 1 + first->len;
		i = 1;
	}
	for (; i < TOP_MAX; i++) {
		if (i >= depth)
			break;
		dentry = TYPED(dentry, ring[(depth - 1 - i) & (TOP_MAX - 1)]);
		len = FIELD(dentry, d_name.len);
		if (len > NAME_BYTES)
			return 0;
		at &= TOP_MAX * (NAME_BYTES + 1) - 1;
		text[at] = '/';
		put_name(text + at + 1, (__u64)FIELD(dentry, d_name.name), len);
		at += 1 + len;
	}
	if (locks_moved(top->locks)) {
		count(COUNTER_PATH_RACED);
		return 0;
	}
	return at ? with_mark(*leaf, text, at, flags) : 0;
}

#endif
