/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_BASE_PATH_H
#define KTRAIL_BASE_PATH_H

/*
 * Paths, in two passes.
 *
 * 1. walk_top: from the file upwards over parents and mounts to the task's root, by pointers only. It remembers the
 *    dentries nearest to the root (a ring of TOP_MAX). Cheap enough for every call; enough to decide "this cannot match".
 * 2. path_text (base/path_text.h): the same walk once more, copying names. Only for what passed the first, and for everything
 *    the first could not decide (too deep, or a rename or mount went on meanwhile).
 *
 * Names hold no '/', so comparing components is comparing strings. Out of budget never means "no match".
 */

#include "../vmlinux/kernel.h"
#include "core_fixes.h"

#define PATH_BYTES 4096            /* longest text, without the mark of a deleted file */
#define TOP_MAX 8                  /* dentries that are kept: 7 components of a prefix and the next one */
#define TOP_HOPS 64                /* budget of the first pass */

/* Memory of a slot on each CPU: user space gives an object what its functions need. */
enum scratch_limit {
	SCRATCH_BYTES = 31072,  /* most, for an exec with texts of full length: the kernel has 32 KiB for a per-CPU value */
	RECORD_AT = 1216,       /* offset of the record of a hook */
	RECORD_BYTES = 22528,   /* the last of VALUE_TEXTS_MAX texts of full length begins within */
	NAME_ROOM = 256,        /* bytes of a name that are copied at once */
	TEXT_BEGIN = 32,        /* bytes of a value before its path */
	TEXT_ROOM = TEXT_BEGIN + PATH_BYTES + NAME_ROOM,  /* of a value with a text, and with the details of a file */
	VALUE_ROOM = 320,       /* of any other value, and of what a filter reads from the beginning of a text on */
};

/* Addresses of the kernel's sequence locks; 0 if kallsyms hides them, and then races are not noticed. */
const volatile __u64 rename_lock_address = 0;
const volatile __u64 mount_lock_address = 0;

/*
 * Zero, but unknown to the verifier: a counter that starts from it is an unknown number in every round of a loop, so all rounds look alike. From a
 * known zero it would follow each combination of values (minutes, then "too large"). Volatile: each
 * counter needs a load of its own, else a bound on one is a bound on all.
 */
volatile __u32 unknown_zero = 0;

/* A dentry in a mount, as addresses. `mount` is the struct mount around the vfsmount that a struct path names. */
struct place {
	__u64 dentry;
	__u64 mount;
};

/* The count of the lock of renames, and in the upper half that of mounts. */
static __always_inline __u64 locks_now(void)
{
	return LOAD(seqcount, rename_lock_address, sequence) | (__u64)LOAD(seqcount, mount_lock_address, sequence) << 32;
}

/* The counts before a walk, as of raw_seqcount_begin. An odd count is a writer at work; it is made even, so it counts as moved. */
static __always_inline __u64 locks_before(void)
{
	return locks_now() & ~(1ull << 32 | 1);
}

static __always_inline bool locks_moved(__u64 before)
{
	return locks_now() != before;
}

/* The dentry is 0 without a path, which is an address that cannot be read. */
static __always_inline struct place place_of_path(__u64 path)
{
	struct path *typed = TYPED(path, path);
	__u64 mnt = (__u64)FIELD(typed, mnt);

	return (struct place){ (__u64)FIELD(typed, dentry), CONTAINER(mount, mnt, mnt) };
}

static __always_inline struct task_struct *current_task(void)
{
#ifdef KTRAIL_TYPED
	/* Loads from it cannot fault. */
	return bpf_get_current_task_btf();
#else
	return (struct task_struct *)bpf_get_current_task();
#endif
}

/* Equal to bpf_get_current_pid_tgid(). */
static __always_inline __u64 thread_of(struct task_struct *current)
{
#ifdef KTRAIL_TYPED
	return (__u64)current->tgid << 32 | (__u32)current->pid;
#else
	return bpf_get_current_pid_tgid();
#endif
}

/*
 * Its effective user, as the host sees it. `cred` may be of another user while the call lasts: an overlay sets the one that mounted it, access(2) the
 * real one.
 */
static __always_inline __u32 user_of(struct task_struct *current)
{
	const struct cred *own = FIELD(current, real_cred);

	return FIELD(own, euid.val);
}

static __always_inline struct place root_of(struct task_struct *task)
{
	/* An exiting task has no fs any more: its paths then end at the global root. */
	struct fs_struct *fs = FIELD(task, fs);
	__u64 mnt = (__u64)FIELD(fs, root.mnt);

	return (struct place){ (__u64)FIELD(fs, root.dentry), CONTAINER(mount, mnt, mnt) };
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

/* A name by its first 8 bytes, the rest zero, and its length. */
struct component {
	__u64 word;
	__u32 len;
};

struct top {
	__u32 depth;  /* components between the root and the file */
	bool whole;   /* the root was reached inside the budget */
	__u64 locks;  /* value of the locks before the walk: readers of the names compare it with the present one */
};

/*
 * First pass; sets depth and whole. ring[(depth - 1 - i) % TOP_MAX] is then component i from the root. Returns the dentry of the first component; NULL:
 * there is none, or the path is not whole. `always`: every call has this walk, so it does without GOES_ON.
 */
static __always_inline struct dentry *walk_top(struct place at, struct place root, struct top *top, __u64 *ring, bool always)
{
	struct dentry *dentry = TYPED(dentry, at.dentry), *mnt_root, *parent, *first = 0;
	struct mount *mount = TYPED(mount, at.mount), *up;
	__u32 depth = unknown_zero, hops = unknown_zero;

	top->whole = true;
	mnt_root = FIELD(mount, mnt.mnt_root);
	for (; hops < TOP_HOPS && (always || GOES_ON); hops++) {
		if ((__u64)dentry == root.dentry && (__u64)mount == root.mount)
			goto reached;
		if (dentry == mnt_root) {
			up = FIELD(mount, mnt_parent);
			if (up == mount)
				goto reached;
			dentry = FIELD(mount, mnt_mountpoint);
			mount = up;
			mnt_root = FIELD(mount, mnt.mnt_root);
			continue;
		}
		parent = FIELD(dentry, d_parent);
		if (parent == dentry)
			goto reached;
		ring[depth & (TOP_MAX - 1)] = (__u64)dentry;
		depth++;
		first = dentry;
		dentry = parent;
	}
	top->whole = false;
	first = 0;
reached:
	top->depth = depth;
	return first;
}

#endif
