/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_ARGS_FILE_H
#define KTRAIL_ARGS_FILE_H

/* Arguments that lead to a path: struct file, path and dentry, and structs with a file. */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "../event.h"
#include "../base/record.h"
#include "../base/path.h"
#include "../base/path_text.h"
#include "../base/components.h"
#include "../frame/filter.h"
#include "../frame/hook.h"
#include "../frame/scratch.h"
#include "details.h"

/* 1: records of this object have files that the screen does not walk. Else their code is removed before a load. */
const volatile __u32 asks_paths = 0;

static __always_inline bool is_file(__u8 type)
{
	return type == ARG_FILE || type == ARG_PATH || (type >= ARG_FD && type <= ARG_DENTRY);
}

/* The file of a descriptor of the task; 0 when it is not open. */
static __always_inline __u64 file_of_fd(__u32 fd)
{
	__u64 files = (__u64)LOAD(task_struct, bpf_get_current_task(), files);
	__u64 table = files ? (__u64)LOAD(files_struct, files, fdt) : 0;
	__u64 file = 0;

	if (table && fd < LOAD(fdtable, table, max_fds))
		bpf_probe_read_kernel(&file, sizeof(file), (void *)((__u64)LOAD(fdtable, table, fd) + sizeof(file) * fd));
	return file;
}

/* The struct file that an argument leads to; 0 for none. */
static __always_inline __u64 file_of(__u8 type, __u64 argument)
{
	switch (type) {
	case ARG_FILE:
		return argument;
	case ARG_FD:
		return file_of_fd(argument);
	case ARG_KIOCB:
		return argument ? (__u64)LOAD(kiocb, argument, ki_filp) : 0;
	case ARG_BINPRM:
		return argument ? (__u64)LOAD(linux_binprm, argument, file) : 0;
	}
	return 0;
}

/* A dentry has no mount: its path begins at the root of its file system. `file`: of file_of. */
static __always_inline struct place place_of(__u8 type, __u64 argument, __u64 file)
{
	struct place place = {};

	if (type == ARG_DENTRY)
		place.dentry = argument;
	else
		place = place_of_path(type == ARG_PATH ? argument : MEMBER(file, file, f_path));
	return place;
}

/* Writes the identity of an inode; zeros without an inode. */
static __always_inline void put_inode(struct file_info *info, struct inode *inode)
{
	__u64 super;

	info->ino = 0;
	info->dev = 0;
	info->mode = 0;
	if (!inode)
		return;
	inode = TYPED(inode, inode);
	info->ino = FIELD(inode, i_ino);
	info->mode = FIELD(inode, i_mode);
	super = (__u64)FIELD(inode, i_sb);
	info->dev = LOAD(super_block, super, s_dev);
}

/* The inode of the file at a dentry. `file`: of file_of. The struct file of a descriptor may be another one by now. */
static __always_inline struct inode *inode_of(__u8 type, __u64 file, __u64 dentry)
{
	return file && type != ARG_FD ? LOAD(file, file, f_inode) : LOAD(dentry, dentry, d_inode);
}

/* Writes the identity of a file without its path at an offset of the record, for filters on its type; returns the bytes used. */
static __always_inline __u32 put_identity(struct scratch *s, const volatile struct wanted_value *wanted, __u32 at)
{
	struct value *v = value_at(s, at);
	__u32 param = wanted->param;
	__u8 type = wanted->type;
	__u64 file, dentry;

	if (!v || param >= PARAMS_MAX)
		return 0;
	file = file_of(type, s->call.params[param]);
	dentry = place_of(type, s->call.params[param], file).dentry;
	v->kind = VALUE_FILE;
	v->len = 0;
	v->flags = 0;
	put_inode((struct file_info *)(v + 1), dentry ? inode_of(type, file, dentry) : 0);
	return sizeof(*v) + sizeof(struct file_info);
}

/*
 * Writes the path that the screen has walked, and its file's identity, at an offset of the record; returns the bytes used. 0: put_text must do it,
 * because the path is deep or something moved. A shortcut: nearly every hit has one, and put_text's first tests take as long.
 */
static __always_inline __u32 put_screened(struct scratch *s, const volatile struct wanted_value *wanted, __u32 at)
{
	struct value *v = text_at(s, at);
	struct file_info *info = (struct file_info *)(v + 1);
	struct text_key *key = (struct text_key *)(info + 1);
	__u64 dentry = s->at.dentry, file;
	__u32 param = wanted->param, len;
	__u8 type = wanted->type;
	struct inode *inode;
	__u16 flags = 0;

	if (!v || param >= PARAMS_MAX)
		return 0;
	/* A descriptor may lead to another file by now. */
	file = type == ARG_FD ? 0 : file_of(type, s->call.params[param]);
	inode = inode_of(type, file, dentry);
	put_inode(info, inode);
	if (asks_details) {
		s->file.inode = (__u64)inode;
		s->file.mount = s->at.mount;
	}
	len = top_text(&s->top, s->ring, &s->first, &s->at.dentry, (char *)(key + 1), &flags);
	if (!len)
		return 0;
	v->len = len;
	v->places = 0;
	v->kind = VALUE_FILE;
	v->index = wanted->index;
	v->flags = flags;
	s->decided = true;
	return sizeof(*v) + sizeof(*info) + sizeof(*key) + padded(len);
}

/*
 * Writes the path of `unscreened` to an offset of the record as put_screened does. Returns its length, and above 16 bits enum value_flag; 0: path_text must
 * do it, which takes four times as long.
 */
__noinline int put_short(__u32 slot, __u32 at)
{
	struct scratch *s = scratch_of(slot);
	struct component name;
	struct dentry *first;
	__u16 flags = 0;
	__u32 len;

	if (!asks_paths || !s)
		return 0;
	s->unscreened.top.locks = locks_before();
	first = walk_top(s->unscreened.at, root_of(current_task()), &s->unscreened.top, s->unscreened.ring, false);
	if (!first)
		return 0;
	name.word = component_of(first, &name.len);
	barrier_var(at);
	if (at > record_texts + TEXT_BEGIN)
		return 0;
	barrier_var(at);
	len = top_text(&s->unscreened.top, s->unscreened.ring, &name, &s->unscreened.at.dentry, s->record + at, &flags);
	return len | flags << 16;
}

/* Writes a path and its file's identity at an offset of the record, where `v` is; returns the bytes used. `screened`: the screen has walked it. */
static __always_inline __u32 put_file(__u32 slot, struct value *v, __u32 at, __u8 type, __u64 argument, bool screened, struct scratch *s)
{
	struct file_info *info = (struct file_info *)(v + 1);
	struct text_key *key = (struct text_key *)(info + 1);
	__u64 file = file_of(type, argument);
	struct place place = screened ? s->at : place_of(type, argument, file);
	struct inode *inode = 0;
	__u16 flags = 0;
	__u32 got = 0;

	v->kind = type == ARG_FD && !file ? VALUE_ERROR : VALUE_FILE;
	v->len = 0;
	if (v->kind == VALUE_ERROR)
		return sizeof(*v);
	if (place.dentry)
		inode = inode_of(type, file, place.dentry);
	put_inode(info, inode);
	if (asks_details) {
		s->file.inode = (__u64)inode;
		s->file.mount = place.mount;
	}
	if (place.dentry && !screened) {
		s->unscreened.at = place;
		got = put_short(slot, at + sizeof(*v) + sizeof(*info) + sizeof(*key));
		v->len = got;
		flags = got >> 16;
	}
	if (place.dentry && !got)
		v->len = put_path(slot, &s->walk, place, RECORD_AT + TEXT_BEGIN + at, &flags);
	v->flags = flags;
	return sizeof(*v) + sizeof(*info) + sizeof(*key) + padded(v->len);
}

#endif
