/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_BASE_PATH_TEXT_H
#define KTRAIL_BASE_PATH_TEXT_H

/*
 * The second pass over a path (base/path.h): its text. Names come leaf first, so it is laid out from the end of a buffer, and
 * the caller takes it from there.
 *
 * The kernel's locks count every rename and mount, also of those elsewhere, which any user may do without a pause.
 * So when they moved, the walk checks the dentries themselves: a rename changes the d_seq of the dentries that it moves
 * (fs/dcache.c __d_move). Two walks in a row must find the same dentries and mounts, with the same even d_seq each. Then
 * no name or parent changed from the end of the first to the start of the second: the text was true then.
 * Nothing is freed meanwhile, because a program runs under RCU. Mounts have no number of their own: one that is moved
 * away and back between two walks is missed, and its owner could have left it there as well.
 */

#include "../vmlinux/kernel.h"
#include "core_fixes.h"
#include "../event.h"
#include "maps.h"
#include "path.h"

#define DELETED_BYTES 10 /* " (deleted)" */
#define NAME_BYTES 255   /* maximum bytes of a name in nearly all file systems */
#define TEXT_TRIES 4
#define TEXT_HOPS 4096   /* budget of each try; a path of 4,096 bytes has at most 2,048 components */

/* The memory of a slot begins with it, and has the record with the path behind it. */
struct text_walk {
	__u64 runs;    /* calls that the program of a hook has seen. Counting needs no rights and no look-up of its own. User space reads the first word */
	struct place start, at, root;
	__u64 mnt_root;
	__u64 trace;   /* hash of the dentries and mounts on the way, and of their d_seq */
	__u32 need;    /* bytes of the names so far */
	__u32 fit;     /* bytes of the names that had room */
	__u32 moving;  /* 1: a d_seq was odd, because a rename was in progress */
	__u32 done;
	__u32 to;      /* offset in the memory: the text ends PATH_BYTES behind it */
	__u32 reserved;
};

/*
 * A slot for each function: a program is never entered twice on a CPU, but another program may interrupt it. User space sets the number,
 * and the size. Without types, because they would fix the size.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 0);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, SCRATCH_BYTES);
} scratch SEC(".maps");

const volatile __u32 scratch_bytes = SCRATCH_BYTES;

static __always_inline struct text_walk *walk_of(__u32 slot)
{
	return bpf_map_lookup_elem(&scratch, &slot);
}

static __always_inline void trace(struct text_walk *w, __u64 met)
{
	w->trace = (w->trace + met) * 0x9e3779b97f4a7c15ull;
}

/* Copies a part of a name, at most NAME_ROOM bytes. False without room. */
static __always_inline bool put_part(struct text_walk *w, __u32 at, __u64 name, __u32 len)
{
	barrier_var(at);
	barrier_var(len);
	if (at > scratch_bytes - NAME_ROOM || len > NAME_ROOM)
		return false;
	barrier_var(at);
	bpf_probe_read_kernel((char *)w + at, len, (void *)name);
	return true;
}

/* Writes a name of more than NAME_BYTES: some file systems have up to PATH_MAX - 1. */
__noinline int put_long_name(__u32 slot, __u32 at, __u64 dentry, __u32 len)
{
	struct text_walk *w = walk_of(slot);
	__u64 name = (__u64)LOAD(dentry, dentry, d_name.name);
	__u32 i, done;

	if (!w)
		return 0;
	_Pragma("nounroll")
	for (i = 0; i < PATH_BYTES / NAME_ROOM; i++) {
		done = i * NAME_ROOM;
		if (done >= len || !put_part(w, at + done, name + done, len - done < NAME_ROOM ? len - done : NAME_ROOM))
			break;
	}
	return 0;
}

static __always_inline int text_step(__u32 slot)
{
	struct text_walk *w = walk_of(slot);
	__u64 dentry, mount, parent, up, name;
	__u32 len, need, at, seq;

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
	need = w->need + len + 1;
	w->need = need;
	if (need < PATH_BYTES) {
		w->fit = need;
		name = (__u64)LOAD(dentry, dentry, d_name.name);
		at = w->to + PATH_BYTES - need;
		barrier_var(at);
		if (at > scratch_bytes - NAME_ROOM)
			return 1;
		barrier_var(at);
		((char *)w)[at] = '/';
		if (len <= NAME_BYTES)
			bpf_probe_read_kernel((char *)w + at + 1, len & NAME_BYTES, (void *)name);
		else
			put_long_name(slot, at + 1, dentry, len);
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

/*
 * Repeats an exact walk until it has seen one moment, at most TEXT_TRIES times (how it knows: the head of this file). `settled`: whether it has;
 * `w`: the memory of the walk, with its `trace` and `moving`.
 */
#define WALK_SETTLED(settled, walk, slot, w)                          \
	{                                                             \
		__u64 locks, before = 0;                              \
		__u32 try;                                            \
                                                                      \
		settled = false;                                      \
		_Pragma("nounroll")                                   \
		for (try = 0; try < TEXT_TRIES; try++) {              \
			locks = locks_before();                       \
			walk(slot);                                   \
			settled = !locks_moved(locks);                \
			if (settled)                                  \
				break;                                \
			count(COUNTER_PATH_RACED);                    \
			settled = w->trace == before && !w->moving;   \
			if (settled)                                  \
				break;                                \
			before = w->trace;                            \
		}                                                     \
	}

/* Writes the text of the start as the task sees it. Returns its length, and above 16 bits enum value_flag. */
__noinline int path_text(__u32 slot)
{
	struct text_walk *w = walk_of(slot);
	__u32 len, flags = 0;
	bool settled;

	if (!w)
		return 0;
	WALK_SETTLED(settled, walk_text, slot, w);
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

/* Writes the text of a place at an offset of the slot's memory. Returns its length; *flags as in value_flag. */
static __always_inline __u32 put_path(__u32 slot, struct text_walk *w, struct place place, __u32 at, __u16 *flags)
{
	__u32 got, len, from;
	char *to;

	w->start = place;
	w->to = at;
	got = path_text(slot);
	*flags = got >> 16;
	len = got & (PATH_BYTES - 1);
	from = (PATH_BYTES - len) & (PATH_BYTES - 1);
	barrier_var(at);
	if (at > scratch_bytes - PATH_BYTES - NAME_ROOM)
		return 0;
	barrier_var(at);
	to = (char *)w + at;
	/* Downwards, perhaps onto itself: the helper copies word by word, the first one first (mm/maccess.c copy_from_kernel_nofault). */
	bpf_probe_read_kernel(to, len, to + from);
	return len ? with_mark(place.dentry, to, len, flags) : 0;
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
