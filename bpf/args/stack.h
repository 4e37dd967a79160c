/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_ARGS_STACK_H
#define KTRAIL_ARGS_STACK_H

/*
 * The callers of a function: stacks of code addresses, as values behind those of the arguments. Taken once for all policies on the function, if
 * something may match; user space shows them to policies that request them.
 */

#include "../vmlinux/kernel.h"
#include "../event.h"
#include "../frame/filter.h"
#include "../frame/hook.h"
#include "../frame/scratch.h"

#define STACK_BYTES (STACK_FRAMES_MAX * sizeof(__u64))
/* Behind the stacks a record has its return value and the hash of an aggregate. */
#define STACKS_END (RECORD_BYTES - 2 * (sizeof(struct value) + sizeof(__u64)))
#define STACKS_BEGIN (STACKS_END - 2 * (sizeof(struct value) + STACK_BYTES))

/* Adds a stack; leaves it out if the kernel gives none. */
static __always_inline void put_stack(void *ctx, struct scratch *s, __u8 index, __u64 flags)
{
	struct value *v = text_at(s, s->end);
	long len;

	if (!v)
		return;
	len = bpf_get_stack(ctx, v + 1, STACK_BYTES, flags);
	if (len <= 0)
		return;
	v->len = len;
	v->places = 0;
	v->kind = VALUE_STACK;
	v->index = index;
	v->flags = 0;
	s->end += sizeof(*v) + (__u16)len;
	s->written++;
}

static __always_inline void put_stacks(void *ctx, struct scratch *s, __u8 stacks)
{
	if (s->end > STACKS_BEGIN)
		return;
	if (stacks & STACK_KERNEL)
		put_stack(ctx, s, KERNEL_STACK_INDEX, 0);
	if (stacks & STACK_USER)
		put_stack(ctx, s, USER_STACK_INDEX, BPF_F_USER_STACK);
}

#endif
