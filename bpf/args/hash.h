/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_ARGS_HASH_H
#define KTRAIL_ARGS_HASH_H

/* Whether calls are alike: the hash of their values, for rateLimit (call/action.h) and aggregate (call/aggregate.h). */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "../event.h"
#include "../base/path.h"
#include "../frame/filter.h"
#include "../base/components.h"
#include "../frame/scratch.h"

/* Secret of the hash of arguments: random, so that no program can find other arguments with the same hash. */
const volatile __u64 repeat_secret = 0x9e3779b97f4a7c15ull;

static __always_inline __u64 hashed(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * (repeat_secret | 1);
	return hash ^ hash >> 29;
}

/* Hashes one word of the text. */
static __always_inline int hash_word(__u32 slot)
{
	struct scratch *s = scratch_of(slot);
	__u32 at, left;

	if (!s || !s->repeat.left)
		return 1;
	left = s->repeat.left;
	at = s->repeat.at;
	s->repeat.at = at + 8;
	s->repeat.left = left < 8 ? 0 : left - 8;
	barrier_var(at);
	if (at > RECORD_ROOM - 8)
		return 1;
	s->repeat.key.arguments = hashed(s->repeat.key.arguments, first_of(*(__u64 *)(s->record + at), left));
	return 0;
}
LOOP_STEP(hash_word)

#define HASHED_WORDS (PATH_BYTES / 8 + 2)

/* Adds value `i` to the hash: its kind, and its text or number. */
__noinline int hash_value(__u32 slot, __u32 i)
{
	struct scratch *s = scratch_of(slot);
	struct value *v;
	__u32 at;

	if (!s)
		return 0;
	at = s->offset[i & (VALUES_MAX - 1)];
	v = value_at(s, at);
	if (!v)
		return 0;
	s->repeat.key.arguments = hashed(s->repeat.key.arguments, (__u64)v->kind << 32 | v->len);
	s->repeat.left = v->len;
	s->repeat.at = at + sizeof(*v);
	if (v->kind == VALUE_FILE)
		s->repeat.at += sizeof(struct file_info) + sizeof(struct text_key);
	if (v->kind == VALUE_STRING || v->kind == VALUE_BYTES)
		s->repeat.at += sizeof(struct text_key);
	LOOP(HASHED_WORDS, hash_word, slot);
	return 0;
}

/* Adds those of hook.values whose bit is set. */
static __always_inline void hash_values(__u32 slot, __u8 values)
{
	__u32 i;

	for (i = 0; i < VALUES_MAX; i++) {
		if (values >> i & 1)
			hash_value(slot, i);
	}
}

/* Adds the identities of the files, whatever their paths, and doubts about them. */
__noinline int hash_files(__u32 slot, __u8 values)
{
	struct scratch *s = scratch_of(slot);
	struct file_info *info;
	struct value *v;
	__u32 i, at;

	if (!s)
		return 0;
	for (i = 0; i < VALUES_MAX; i++) {
		at = s->offset[i];
		v = value_at(s, at);
		if (!(values >> i & 1) || !v || v->kind != VALUE_FILE)
			continue;
		info = (struct file_info *)(v + 1);
		s->repeat.key.arguments = hashed(hashed(s->repeat.key.arguments, info->ino), (__u64)info->dev << 32 | v->flags);
	}
	return 0;
}

#endif
