/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_ARGS_FILE_H
#define KTRAIL_ARGS_FILE_H

/* Arguments that lead to a path: struct file and struct path. */

static __always_inline struct place place_of(__u8 type, __u64 argument)
{
	if (type == ARG_FILE && argument)
		argument = MEMBER(file, argument, f_path);
	return place_of_path(argument);
}

/*
 * Writes a path and its file's identity at `at`; returns the bytes used. `screened`: the walk of the screen in `s` was that of
 * this path.
 */
static __always_inline __u32 put_file(__u32 slot, char *at, __u8 type, __u64 argument, bool screened, struct scratch *s)
{
	struct value *v = (struct value *)at;
	struct file_info *info = (struct file_info *)(v + 1);
	struct text_key *key = (struct text_key *)(info + 1);
	struct place place = screened ? s->at : place_of(type, argument);
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
		if (screened)
			v->len = top_text(&s->top, s->ring, place.dentry, (char *)(key + 1), &flags);
		if (v->len)
			s->decided = true;
		else
			v->len = put_path(slot, place, (char *)(key + 1), &flags);
	}
	v->flags = flags;
	return sizeof(*v) + sizeof(*info) + sizeof(*key) + padded(v->len);
}

#endif
