/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_CALL_IDENTITY_H
#define KTRAIL_CALL_IDENTITY_H

/* The files of a call by identity, whatever their paths (frame/identity.h). */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "../event.h"
#include "../frame/filter.h"
#include "../match/set.h"
#include "../frame/identity.h"
#include "../match/task.h"
#include "../frame/hook.h"
#include "../frame/scratch.h"
#include "../args/place.h"
#include "../args/details.h"
#include "../args/file.h"

#ifdef KTRAIL_BOUNDED
/* User space refuses such policies before 5.17. */
static __always_inline bool screen_files(__u32 slot, struct scratch *s) { return true; }
static __always_inline enum sureness identity_matches(struct scratch *s, const struct filter *f) { return NOT_SO; }
#else
#include "../match/above.h"

/* Puts the filters that match file `i` of a call into the scratch. */
__noinline int judge_argument(__u32 slot, __u32 i)
{
	const volatile struct file_screen *files = &hooks[slot & (HOOK_SLOTS - 1)].files[i & (FILES_MAX - 1)];
	struct file_walk *w = file_walk_of(slot);
	struct scratch *s = scratch_of(slot);
	__u32 param = files->param, type = files->type;
	__u64 argument, file, dentry, inode;

	if (!s || !w || param >= PARAMS_MAX)
		return 0;
	argument = s->call.params[param];
	judge_nothing(w);
	s->files[i & (FILES_MAX - 1)] = 0;
	s->file_flags[i & (FILES_MAX - 1)] = 0;
	if (asks_members && files->places) {
		s->walked = argument;
		if (follow(slot, files->place))
			return 0;
		argument = s->walked;
	}
	file = file_of(type, argument);
	dentry = place_of(type, argument, file).dentry;
	judge_file(slot, w, dentry);
	if (file) {
		inode = (__u64)LOAD(file, file, f_inode);
		if (inode != (__u64)LOAD(dentry, dentry, d_inode))
			judge_file(slot, w, dentry_of(inode));
	}
	s->files[i & (FILES_MAX - 1)] = w->hits;
	s->file_flags[i & (FILES_MAX - 1)] = w->flags;
	if (asks_details)
		__builtin_memcpy(s->named[i & (FILES_MAX - 1)], w->named, sizeof(w->named));
	return 0;
}

/* Leaves in `left` the selectors that may match the files of a call; false if no selector may. */
static __always_inline bool screen_files(__u32 slot, struct scratch *s)
{
	__u32 i;

	for (i = 0; i < FILES_MAX; i++) {
		const volatile struct file_screen *files = &hooks[slot].files[i];

		if (files->param >= PARAMS_MAX)
			break;
		judge_argument(slot, i);
		if (!(s->files[i] & files->wanted) && !set_keep_id(s->left, hooks[slot].words, files->others))
			return false;
	}
	return true;
}

/* Whether a filter matches its file argument. PERHAPS is marked in the record. */
static __always_inline enum sureness identity_matches(struct scratch *s, const struct filter *f)
{
	__u32 i = f->numbers[1] & (FILES_MAX - 1);
	struct value *v;

	if (!asks_files || !(s->files[i] & f->numbers[0]))
		return NOT_SO;
	if (!s->file_flags[i])
		return SURELY;
	v = value_at(s, s->offset[f->value & (VALUES_MAX - 1)]);
	if (v)
		v->flags |= s->file_flags[i];
	return PERHAPS;
}
#endif

#endif
