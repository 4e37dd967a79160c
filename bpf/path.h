/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_PATH_H
#define KTRAIL_PATH_H

/*
 * Paths, in two passes.
 *
 * 1. walk_top: from the file upwards over parents and mounts to the task's root, by pointers only. It remembers the
 *    dentries nearest to the root (a ring of TOP_MAX). Cheap enough for every call; enough to decide "this cannot match".
 * 2. path_text (path_text.h): the same walk once more, copying names. Only for what passed the first, and for everything
 *    the first could not decide (too deep, or a rename or mount went on meanwhile).
 *
 * Names hold no '/', so comparing components is comparing strings. Out of budget never means "no match".
 */

#define PATH_BYTES 4096            /* longest text, without the mark of a deleted file */
#define TOP_MAX 8                  /* dentries remembered: 7 components of a prefix and the one behind */
#define TOP_HOPS 64                /* budget of the first pass */

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
	__u64 rename_lock = rename_lock_address, mount_lock = mount_lock_address;
	struct path_locks now = {};

	if (rename_lock)
		now.rename = LOAD(seqcount, rename_lock, sequence);
	if (mount_lock)
		now.mount = LOAD(seqcount, mount_lock, sequence);
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

/* First 8 bytes at an address, as a number. Names are allocated or embedded with at least that much room. */
static __always_inline __u64 bytes_at(__u64 address)
{
#ifdef KTRAIL_TYPED
	/* struct qstr only lends its type: its first member is 64 bits wide. */
	return TYPED(qstr, address)->hash_len;
#else
	__u64 bytes = 0;

	bpf_probe_read_kernel(&bytes, sizeof(bytes), (void *)address);
	return bytes;
#endif
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

#endif
