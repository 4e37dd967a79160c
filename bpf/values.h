/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_VALUES_H
#define KTRAIL_VALUES_H

/* Arguments as they stand in a record: one function a kind, each returns the bytes it used. */

#define STRING_BYTES 4096

static __always_inline __u64 narrowed(__u8 type, __u64 raw)
{
	if (type == ARG_S32)
		return (__u64)(__s64)(__s32)raw;
	if (type == ARG_U32)
		return (__u32)raw;
	return raw;
}

static __always_inline struct place place_of(__u8 type, __u64 argument)
{
	if (type == ARG_FILE && argument)
		argument = MEMBER(file, argument, f_path);
	return place_of_path(argument);
}

/* Writes a path and its file's identity at `at`; returns the bytes used. */
static __always_inline __u32 put_file(char *at, __u8 type, __u64 argument, const struct top *top)
{
	struct value *v = (struct value *)at;
	struct file_info *info = (struct file_info *)(v + 1);
	struct text_key *key = (struct text_key *)(info + 1);
	struct place place = place_of(type, argument);
	__u16 flags = 0;
	__u64 inode, super;

	v->kind = VALUE_FILE;
	v->len = 0;
	info->ino = 0;
	info->dev = 0;
	info->mode = 0;
	if (place.dentry) {
		inode = (__u64)(type == ARG_FILE ? LOAD(file, argument, f_inode) : LOAD(dentry, place.dentry, d_inode));
		if (inode) {
			info->ino = LOAD(inode, inode, i_ino);
			info->mode = LOAD(inode, inode, i_mode);
			super = (__u64)LOAD(inode, inode, i_sb);
			info->dev = LOAD(super_block, super, s_dev);
		}
		if (!top || !top->whole || top->depth)
			v->len = path_text(place, task_root(), top ? top->bytes : 0, (char *)(key + 1), &flags);
	}
	v->flags = flags;
	return sizeof(*v) + sizeof(*info) + sizeof(*key) + padded(v->len);
}

static __always_inline __u32 put_string(char *at, __u64 argument)
{
	struct value *v = (struct value *)at;
	struct text_key *key = (struct text_key *)(v + 1);
	long len;

	/* Kernel addresses have their top bit set. */
	if ((__s64)argument < 0)
		len = bpf_probe_read_kernel_str(key + 1, STRING_BYTES, (void *)argument);
	else
		len = bpf_probe_read_user_str(key + 1, STRING_BYTES, (void *)argument);
	if (len <= 0) {
		v->kind = VALUE_ERROR;
		v->len = 0;
		return sizeof(*v);
	}
	v->kind = VALUE_STRING;
	v->len = len - 1;
	v->flags = len == STRING_BYTES ? VALUE_TRUNCATED : 0;
	return sizeof(*v) + sizeof(*key) + padded(v->len);
}

static __always_inline __u32 put_number(char *at, __u8 type, __u64 number)
{
	struct value *v = (struct value *)at;

	v->kind = type == ARG_S32 || type == ARG_S64 ? VALUE_INT : VALUE_UINT;
	v->len = sizeof(number);
	v->flags = 0;
	*(__u64 *)(v + 1) = number;
	return sizeof(*v) + sizeof(number);
}

#endif
