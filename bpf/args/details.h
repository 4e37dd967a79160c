/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_ARGS_DETAILS_H
#define KTRAIL_ARGS_DETAILS_H

/* More of a file than its path, for hooks with `fileDetails`: struct file_details. */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "../event.h"
#include "../frame/filter.h"
#include "../frame/identity.h"
#include "../frame/hook.h"
#include "../frame/scratch.h"

/* 1: a function of this object requests details. Else their code is removed before a load. */
const volatile __u32 asks_details = 0;
/* Places in types of the kernel's overlay module, which a program cannot name where the module is not loaded. */
const volatile struct overlay_places overlay = {};

#define OVERLAYFS_SUPER_MAGIC 0x794c7630 /* include/uapi/linux/magic.h */
#define MNT_NS_ANON_INO 0xEFFFFFF7U      /* include/uapi/linux/nsfs.h, since 6.18; before, such a namespace has number 0 */
#define MAX_ERRNO 4095
#define NSEC_MASK 0x7fffffff             /* fs/inode.c I_CTIME_QUERIED is the bit above, since 6.13 */

static __always_inline __u64 pointer_at(__u64 address)
{
	__u64 pointer = 0;

	bpf_probe_read_kernel(&pointer, sizeof(pointer), (void *)address);
	return pointer;
}

static __always_inline void put_changed(struct file_details *to, __u64 inode)
{
	struct timespec64 time = {};

	if (bpf_core_field_exists(struct inode, i_ctime_sec)) {
		bpf_probe_read_kernel(&to->changed_sec, sizeof(to->changed_sec), (void *)MEMBER(inode, inode, i_ctime_sec));
		bpf_probe_read_kernel(&to->changed_nsec, sizeof(to->changed_nsec), (void *)MEMBER(inode, inode, i_ctime_nsec));
		to->changed_nsec &= NSEC_MASK;
		return;
	}
	if (bpf_core_field_exists(struct inode___timed, __i_ctime))
		bpf_probe_read_kernel(&time, sizeof(time), (void *)MEMBER(inode___timed, inode, __i_ctime));
	else if (bpf_core_field_exists(struct inode___old, i_ctime))
		bpf_probe_read_kernel(&time, sizeof(time), (void *)MEMBER(inode___old, inode, i_ctime));
	to->changed_sec = time.tv_sec;
	to->changed_nsec = time.tv_nsec;
}

/* The inode in a layer that has the content of an overlay's file. */
static __always_inline void put_real(struct file_details *to, __u64 inode)
{
	__u64 super = (__u64)LOAD(inode, inode, i_sb), real, dentry;
	__u32 i;

	if (!overlay.upper || LOAD(super_block, super, s_magic) != OVERLAYFS_SUPER_MAGIC)
		return;
	dentry = pointer_at(inode + overlay.upper);
	if (dentry) {
		to->flags |= DETAIL_UPPER;
		real = (__u64)LOAD(dentry, dentry, d_inode);
	} else {
		real = inode;
		for (i = 0; i < OVERLAY_STEPS; i++) {
			if (i >= overlay.steps || !real)
				break;
			real = pointer_at(real + overlay.lower[i]);
		}
	}
	if (!real)
		return;
	to->flags |= DETAIL_OVERLAY;
	to->real_ino = LOAD(inode, real, i_ino);
	super = (__u64)LOAD(inode, real, i_sb);
	to->real_dev = LOAD(super_block, super, s_dev);
}

static __always_inline void put_mount(struct file_details *to, __u64 mount)
{
	__u64 ns = (__u64)LOAD(mount, mount, mnt_ns);
	__u32 number;

	to->mount_id = LOAD(mount, mount, mnt_id);
	/* An error: a mount of the kernel's own, such as that of pipes. */
	if (ns >= (__u64)-MAX_ERRNO)
		return;
	number = ns ? LOAD(mnt_namespace, ns, ns.inum) : 0;
	if (!number || number == MNT_NS_ANON_INO)
		to->flags |= DETAIL_DETACHED;
}

/* Address of the details at an offset of the record, if it has room. */
static __always_inline struct file_details *details_at(struct scratch *s, __u32 at)
{
	barrier_var(at);
	if (at > RECORD_ROOM - (__u32)sizeof(struct file_details))
		return 0;
	barrier_var(at);
	return (struct file_details *)(s->record + at);
}

/* Writes the details of the file that was written last, at an offset of the record. */
__noinline int put_details(__u32 slot, __u32 at)
{
	struct scratch *s = scratch_of(slot);
	struct file_details *to;
	__u64 inode;

	if (!asks_details || !s)
		return 0;
	to = details_at(s, at);
	if (!to)
		return 0;
	__builtin_memset(to, 0, sizeof(*to));
	inode = s->file.inode;
	if (inode) {
		to->size = LOAD(inode, inode, i_size);
		to->generation = LOAD(inode, inode, i_generation);
		to->links = LOAD(inode, inode, i_nlink);
		put_changed(to, inode);
		put_real(to, inode);
	}
	if (s->file.mount)
		put_mount(to, s->file.mount);
	return sizeof(*to);
}

/* Adds to the details at an offset by which paths value `i` of the function was found. */
__noinline int put_names(__u32 slot, __u32 i, __u32 at)
{
	const volatile struct hook *hook = &hooks[slot & (HOOK_SLOTS - 1)];
	const volatile struct wanted_value *wanted = &hook->values[i & (VALUES_MAX - 1)];
	struct scratch *s = scratch_of(slot);
	struct file_details *to;
	__u32 f;

	if (!asks_details || !s)
		return 0;
	to = details_at(s, at);
	if (!to)
		return 0;
	for (f = 0; f < FILES_MAX; f++) {
		if (hook->files[f].param == wanted->param && hook->files[f].type == wanted->type &&
		    hook->files[f].places == wanted->places)
			__builtin_memcpy(to->named, s->named[f], sizeof(to->named));
	}
	return 0;
}
#endif
