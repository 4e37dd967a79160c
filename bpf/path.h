/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_PATH_H
#define KTRAIL_PATH_H

/*
 * Paths, in two passes.
 *
 * 1. walk_top: from the file upwards over parents and mounts to the task's root, by pointers only. It remembers the
 *    dentries nearest to the root (a ring of TOP_MAX). Cheap enough for every call; enough to decide "this cannot match".
 * 2. path_text: the same walk once more, copying names. Only for what passed the first, and for everything the
 *    first could not decide (too deep, or a rename or mount went on meanwhile).
 *
 * Names hold no '/', so comparing components is comparing strings. Out of budget never means "no match".
 *
 * The kernel's locks count every rename and mount, also of those elsewhere, which any user may do without a pause.
 * So when they moved, the second pass asks the walked dentries themselves: a rename changes the d_seq of what it moves
 * (fs/dcache.c __d_move). Two walks in a row over the same dentries and mounts, with the same even d_seq each, had
 * every name and parent unchanged from the end of the first to the start of the second: the text was true then.
 * Nothing is freed meanwhile, for a program runs under RCU. Mounts have no number of their own: one that is moved away
 * and back between two walks is missed, and its owner could have left it there as well.
 */

#define PATH_BYTES 4096            /* longest text, without the mark below */
#define DELETED_BYTES 10           /* " (deleted)" */
#define TOP_MAX 8                  /* dentries remembered: 7 components of a prefix and the one behind */
#define NAME_BYTES 255             /* of a name, in nearly all file systems */
#define TOP_HOPS 64                /* budget of the first pass */
#define TEXT_TRIES 4
/*
 * Budget of each try of the second pass. A path of 4,096 bytes has at most 2,048 components. Round by round the verifier
 * of 5.10 looks at 2,300 instructions a hop; a value to match has at most 126 components (TEXT_KEY_BYTES).
 */
#ifdef KTRAIL_BOUNDED
#define TEXT_HOPS 128
#define TEXT_STEP __noinline /* the walk then stays in memory, where the verifier forgets numbers, so that rounds look alike */
#else
#define TEXT_HOPS 4096
#define TEXT_STEP
#endif

/* Addresses of the kernel's sequence locks, 0 where kallsyms does not show them: then a race goes unnoticed. */
const volatile __u64 rename_lock_address = 0;
const volatile __u64 mount_lock_address = 0;

/*
 * Zero, but not to the verifier: counters that start from it are "some number" in every round of a loop, so rounds look
 * alike to it. From a known zero it would follow each combination of values (minutes, then "too large"). Volatile: each
 * counter needs a load of its own, else a bound on one is a bound on all.
 */
volatile __u32 unknown_zero = 0;

/* A dentry in a mount, as addresses. `mount` is the struct mount around the vfsmount that a struct path names. */
struct place {
	__u64 dentry;
	__u64 mount;
};

struct path_locks {
	__u32 rename;
	__u32 mount;
};

static __always_inline struct path_locks locks_now(void)
{
	struct path_locks now = {};

	if (rename_lock_address)
		now.rename = LOAD(seqcount, rename_lock_address, sequence);
	if (mount_lock_address)
		now.mount = LOAD(seqcount, mount_lock_address, sequence);
	return now;
}

/* An odd count is a writer at work; a moved one is a writer that was. */
static __always_inline bool locks_moved(struct path_locks before)
{
	struct path_locks now = locks_now();

	return (before.rename & 1) || (before.mount & 1) || now.rename != before.rename || now.mount != before.mount;
}

static __always_inline struct place place_of_path(__u64 path)
{
	struct place place = {};

	__u64 mnt;

	if (path) {
		mnt = (__u64)LOAD(path, path, mnt);
		place.mount = CAST(mount, CONTAINER(mount, mnt, mnt));
		place.dentry = (__u64)LOAD(path, path, dentry);
	}
	return place;
}

static __always_inline struct place task_root(void)
{
	__u64 fs = (__u64)LOAD(task_struct, bpf_get_current_task(), fs);

	/* An exiting task has no fs any more: its paths then end at the global root. */
	return place_of_path(fs ? MEMBER(fs_struct, fs, root) : 0);
}

struct top {
	__u32 depth;  /* components between the root and the file */
	bool whole;   /* the root was reached inside the budget */
	struct path_locks locks;  /* before the walk: who reads the names asks whether they moved */
};

/* First pass. ring[(depth - 1 - i) % TOP_MAX] is then component i from the root. */
static __always_inline struct top walk_top(struct place at, struct place root, __u64 *ring)
{
	struct top top = { .locks = locks_now() };
	__u64 dentry = at.dentry, mount = at.mount;
	__u64 mnt_root = (__u64)LOAD(mount, mount, mnt.mnt_root);
	__u32 depth = unknown_zero, hops = unknown_zero;

	for (; hops < TOP_HOPS; hops++) {
		__u64 parent;

		if (dentry == root.dentry && mount == root.mount)
			goto reached;
		if (dentry == mnt_root) {
			__u64 up = (__u64)LOAD(mount, mount, mnt_parent);

			if (up == mount)
				goto reached;
			dentry = (__u64)LOAD(mount, mount, mnt_mountpoint);
			mount = up;
			mnt_root = (__u64)LOAD(mount, mount, mnt.mnt_root);
			continue;
		}
		parent = (__u64)LOAD(dentry, dentry, d_parent);
		if (parent == dentry)
			goto reached;
		ring[depth & (TOP_MAX - 1)] = dentry;
		depth++;
		dentry = parent;
	}
	top.depth = depth;
	return top;
reached:
	top.depth = depth;
	top.whole = true;
	return top;
}

/* State of one copying walk; a step may keep nothing but this. */
struct text_walk {
	struct place at, root;
	__u64 mnt_root;
	char *text;
	__u32 budget;  /* bytes that the text is laid out for */
	__u32 need;    /* bytes of the names met so far */
	__u32 fit;     /* the largest need that was within the budget */
	__u64 trace;   /* of the dentries and mounts met, and their d_seq */
	__u32 moving;  /* a d_seq was odd: a rename at work */
	bool done;
};

/* The step from one address to the next. A difference, because it is a number also where addresses are typed pointers. */
static __always_inline void trace_step(struct text_walk *w, __u64 from, __u64 to)
{
	__u64 step = to - from;

	barrier_var(step);
	w->trace = (w->trace + step) * 0x9e3779b97f4a7c15ull;
}

static TEXT_STEP long text_step(__u32 index, struct text_walk *w)
{
	__u64 parent, up;
	__u32 len, from, seq;
	const void *name;

	if (w->at.dentry == w->root.dentry && w->at.mount == w->root.mount)
		goto done;
	if (w->at.dentry == w->mnt_root) {
		up = (__u64)LOAD(mount, w->at.mount, mnt_parent);
		if (up == w->at.mount)
			goto done;
		parent = (__u64)LOAD(mount, w->at.mount, mnt_mountpoint);
		trace_step(w, w->at.dentry, parent);
		trace_step(w, w->at.mount, up);
		w->at.dentry = parent;
		w->at.mount = up;
		w->mnt_root = (__u64)LOAD(mount, up, mnt.mnt_root);
		return 0;
	}
	parent = (__u64)LOAD(dentry, w->at.dentry, d_parent);
	if (parent == w->at.dentry)
		goto done;
	len = LOAD(dentry, w->at.dentry, d_name.len);
	/* Up to PATH_MAX - 1 bytes in some file systems. */
	w->need += len + 1;
	if (w->need <= w->budget) {
		w->fit = w->need;
		from = (w->budget - w->need) & (PATH_BYTES - 1);
		w->text[from] = '/';
		name = LOAD(dentry, w->at.dentry, d_name.name);
		bpf_probe_read_kernel(w->text + from + 1, len & (PATH_BYTES - 1), name);
	}
	/* Last: it then vouches for what was read before. */
	barrier();
	seq = LOAD(dentry, w->at.dentry, d_seq.seqcount.sequence);
	w->moving |= seq & 1;
	trace_step(w, w->at.dentry, parent);
	trace_step(w, 0, seq);
	w->at.dentry = parent;
	return 0;
done:
	w->done = true;
	return 1;
}

static __always_inline bool is_deleted(__u64 dentry)
{
	return !LOAD(dentry, dentry, d_hash.pprev) && (__u64)LOAD(dentry, dentry, d_parent) != dentry;
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

/*
 * Second pass: writes the text of `at` as seen from `root` to `text`, which has room for 2 * PATH_BYTES.
 * `bytes` is the length that the first pass found, 0 when it did not finish. Returns the length; *flags as in value_flag.
 *
 * Names come leaf first, so the text is laid out from its end. When its length turns out to be another (no first pass,
 * a rename, a path longer than the buffer) the walk is done again with the length now known.
 */
static __always_inline __u32 path_text(struct place at, struct place root, __u32 bytes, char *text, __u16 *flags)
{
	struct text_walk w = { .text = text };
	struct path_locks locks;
	__u32 try, len = 0;
	bool raced, settled = false;
	__u64 before;

	if (bytes == 0 || bytes > PATH_BYTES - 1)
		bytes = PATH_BYTES - 1;
	/* Unrolled: the verifier of 6.1 takes a second bpf_loop at the same instruction for a loop without end. */
#pragma unroll
	for (try = 0; try < TEXT_TRIES; try++) {
		before = w.trace;
		locks = locks_now();
		w.at = at;
		w.root = root;
		w.mnt_root = (__u64)LOAD(mount, at.mount, mnt.mnt_root);
		w.budget = bytes;
		w.need = 0;
		w.fit = 0;
		w.trace = 1;
		w.moving = 0;
		w.done = false;
		LOOP(TEXT_HOPS, text_step, &w);
		len = w.fit;
		raced = locks_moved(locks);
		if (raced)
			count(COUNTER_PATH_RACED);
		if (w.fit == w.budget && (!raced || (w.trace == before && !w.moving))) {
			settled = true;
			break;
		}
		if (w.need == 0)
			return 0;
		/* Longer than the buffer: keep the tail that fits; else the length is known now. */
		bytes = w.need > w.budget && w.budget < PATH_BYTES - 1 ? w.need : w.fit;
		if (bytes > PATH_BYTES - 1)
			bytes = PATH_BYTES - 1;
	}
	if (!settled) {
		count(COUNTER_PATH_UNSTABLE);
		*flags |= VALUE_UNSTABLE;
		/* Its beginning would stand nobody knows where: no text. */
		if (w.fit != w.budget)
			len = 0;
	}
	if (!w.done)
		count(COUNTER_PATH_TOO_DEEP);
	if (!w.done || w.need > len)
		*flags |= VALUE_UNRESOLVED;
	return len ? with_mark(at.dentry, text, len, flags) : 0;
}

/*
 * The same from the dentries that the first pass remembers, where that is all of them and nothing moved since: no second
 * walk. Returns 0 where it is not.
 */
static __always_inline __u32 top_text(const struct top *top, const __u64 *ring, __u64 leaf, char *text, __u16 *flags)
{
	__u32 depth = top->depth, at = 0, len, i;
	__u64 dentry;

	if (!top->whole || depth > TOP_MAX)
		return 0;
	for (i = 0; i < TOP_MAX; i++) {
		if (i >= depth)
			break;
		dentry = ring[(depth - 1 - i) & (TOP_MAX - 1)];
		len = LOAD(dentry, dentry, d_name.len);
		if (len > NAME_BYTES)
			return 0;
		at &= TOP_MAX * (NAME_BYTES + 1) - 1;
		text[at] = '/';
		bpf_probe_read_kernel(text + at + 1, len & NAME_BYTES, LOAD(dentry, dentry, d_name.name));
		at += 1 + len;
	}
	if (locks_moved(top->locks)) {
		count(COUNTER_PATH_RACED);
		return 0;
	}
	return at ? with_mark(leaf, text, at, flags) : 0;
}

#endif
