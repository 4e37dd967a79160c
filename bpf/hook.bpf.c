// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The one template of every hook. A program is a stub that says how its arguments arrive and which slot of `hooks`
 * it serves; the verifier then specialises `hook_run` for that slot.
 *
 * Order of tests, cheapest first: numbers, path by pointers, own process, and only then the clock, names and maps.
 */
#include "vmlinux/x86_64.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "core_fixes.h"
#include "event.h"

#include "maps.h"
#include "record.h"
#include "path.h"
#include "filter.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Host pid of the agent: what it does itself is never an event. */
const volatile __u32 agent_tgid = 0;

#define RECORD_BYTES (21 << 10) /* a value begins within: also a return value behind five paths of full length */
#define STRING_BYTES 4096

/* What a call looks like, however it arrived. */
struct call {
	__u64 args[ARGS_MAX];  /* in the order of hook.args, already of the declared width */
	__u64 returned;
	__u64 time_ns;
};

/* Work space of one hook on one CPU. One for each slot: a program is never entered twice on a CPU, another may be. */
struct scratch {
	struct call call;  /* here and not on the stack, of which all functions of a program share 512 bytes */
	struct top top;
	__u64 ring[TOP_MAX];
	struct tail_entry reversed;
	__u32 offset[ARGS_MAX + 3];  /* of each value in the record */
	char record[RECORD_BYTES + 2 * PATH_BYTES + 512];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HOOK_SLOTS);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

/* By value: a variable whose address is taken is no constant to the verifier any more. */
static __always_inline struct scratch *scratch_of(__u32 slot)
{
	return bpf_map_lookup_elem(&scratch, &slot);
}

/* A matched entry that waits for its return. The stack pointer tells nested calls apart. */
struct join_key {
	__u64 thread;
	__u64 sp;
	__u32 hook;
	__u32 reserved;
};

struct join_value {
	__u64 args[ARGS_MAX];
	__u64 entered_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct join_key);
	__type(value, struct join_value);
} join SEC(".maps");

static __always_inline __u64 narrowed(__u8 type, __u64 raw)
{
	if (type == ARG_INT)
		return (__u64)(__s64)(__s32)raw;
	if (type == ARG_UINT)
		return (__u32)raw;
	return raw;
}

static __always_inline struct place place_of(__u8 type, __u64 argument)
{
	if (type == ARG_FILE && argument)
		argument = MEMBER(file, argument, f_path);
	return place_of_path(argument);
}

static __always_inline __u32 padded(__u32 len)
{
	return (len + 7) & ~7u;
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

	v->kind = type == ARG_INT ? VALUE_INT : VALUE_UINT;
	v->len = sizeof(number);
	v->flags = 0;
	*(__u64 *)(v + 1) = number;
	return sizeof(*v) + sizeof(number);
}

/* The value at an offset of the record, if the largest one has room there: five paths of full length always have. */
static __always_inline struct value *value_at(struct scratch *s, __u32 at)
{
	/* The verifier of 6.1 forgets the bound of a number that was put aside: it wants the test right here. */
	barrier_var(at);
	if (at > RECORD_BYTES)
		return 0;
	return (struct value *)(s->record + at);
}

/* First selector all of whose filters match, -1 if none. */
static __always_inline int first_selector(const volatile struct hook *hook, __u32 alive, struct scratch *scratch)
{
	__u32 s, i;

	for (s = 0; s < SELECTORS_MAX; s++) {
		bool matches = alive & (1u << s);

		if (s >= hook->nselectors)
			break;
		for (i = 0; i < FILTERS_MAX; i++) {
			const volatile struct filter *f = &hook->selectors[s].filters[i];
			struct value *v;
			struct text_key *key;

			if (i >= hook->selectors[s].count)
				break;
			if (f->arg >= ARGS_MAX || !is_text(hook->arg_type[f->arg]) || !matches)
				continue;
			v = value_at(scratch, scratch->offset[f->arg]);
			if (!v)
				continue;
			if (v->kind == VALUE_ERROR) {
				matches = false;
				continue;
			}
			key = (struct text_key *)(v + 1);
			if (hook->arg_type[f->arg] != ARG_STRING)
				key = (struct text_key *)((struct file_info *)(v + 1) + 1);
			matches = text_matches(f, v, key, &scratch->reversed);
		}
		if (matches)
			return s;
	}
	return -1;
}

/* Second half: names, exact filters, the record. */
static __noinline int hook_record(__u32 slot, __u32 alive)
{
	const volatile struct hook *hook;
	struct scratch *s = scratch_of(slot);
	const struct call *call;
	struct event_header *h;
	struct process *process;
	__u32 at = sizeof(*h), used, i;
	int selector = 0;

	if (!s || slot >= HOOK_SLOTS)
		return 0;
	hook = &hooks[slot];
	call = &s->call;
	h = (struct event_header *)s->record;
	h->nargs = 0;
	for (i = 0; i < ARGS_MAX; i++) {
		struct value *v;
		__u8 type;

		if (i >= hook->nargs)
			break;
		type = hook->arg_type[i];
		if (type == ARG_NOP)
			continue;
		v = value_at(s, at);
		if (!v)
			break;
		s->offset[i] = at;
		v->index = i;
		v->flags = 0;
		if (type == ARG_FILE || type == ARG_PATH)
			used = put_file((char *)v, type, call->args[i], i == hook->screen_arg ? &s->top : 0);
		else if (type == ARG_STRING)
			used = put_string((char *)v, call->args[i]);
		else
			used = put_number((char *)v, type, call->args[i]);
		at += used;
		h->nargs++;
	}
	if (hook->nselectors) {
		selector = first_selector(hook, alive, s);
		if (selector < 0)
			return 0;
	}
	h->flags = 0;
	if (hook->return_type != ARG_NOP) {
		struct value *v = value_at(s, at);

		if (!v)
			return 0;
		v->index = 255;
		at += put_number((char *)v, hook->return_type, narrowed(hook->return_type, call->returned));
		h->nargs++;
		h->flags |= HOOK_HAS_RETURN;
	}
	stamp(h, EVENT_HOOK, call->time_ns);
	h->selector = selector;
	h->hook_id = hook->id;
	process = bpf_map_lookup_elem(&processes, &h->tgid);
	h->start_ns = process ? process->start_ns : 0;
	submit(h, at, sizeof(s->record), COUNTER_RING_FULL_HOOK);
	return 0;
}

/* First half: everything that can reject without a name. Returns the selectors left, or -1. */
static __always_inline int hook_screen(struct scratch *s, __u32 slot)
{
	const volatile struct hook *hook = &hooks[slot];
	__u32 alive = 0;
	__u8 position;

	if (hook->nselectors) {
		alive = selectors_by_number(hook, s->call.args);
		if (!alive)
			return -1;
	}
	position = hook->screen_arg;
	if (position < ARGS_MAX) {
		struct place at = place_of(hook->arg_type[position], s->call.args[position]);

		if (!at.dentry)
			return -1;
		if (!screen(hook, at, task_root(), s->ring, &s->top))
			return -1;
	}
	/* Two helper calls that nearly every call can do without. */
	if (agent_tgid && bpf_get_current_pid_tgid() >> 32 == agent_tgid)
		return -1;
	s->call.time_ns = bpf_ktime_get_boot_ns();
	return alive;
}

/* `raw` are the first five parameters; a system call's stand in the registers that the first points to. */
static __always_inline void take_args(struct call *call, __u32 slot, __u64 *raw)
{
	const volatile struct hook *hook = &hooks[slot];
	__u64 regs = raw[0];
	__u32 i;

	if (hook->syscall) {
		raw[0] = LOAD(pt_regs, regs, di);
		raw[1] = LOAD(pt_regs, regs, si);
		raw[2] = LOAD(pt_regs, regs, dx);
		raw[3] = LOAD(pt_regs, regs, r10);
		raw[4] = LOAD(pt_regs, regs, r8);
	}
	for (i = 0; i < ARGS_MAX; i++) {
		if (i >= hook->nargs)
			break;
		if (hook->arg_index[i] < ARGS_MAX)
			call->args[i] = narrowed(hook->arg_type[i], raw[hook->arg_index[i]]);
	}
}

static __always_inline void take_registers(struct call *call, __u32 slot, struct pt_regs *ctx)
{
	__u64 raw[ARGS_MAX] = {
		PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx), PT_REGS_PARM4(ctx), PT_REGS_PARM5(ctx),
	};

	take_args(call, slot, raw);
}

/* kprobe, kprobe.multi: no return value asked for. */
static __noinline int on_entry(struct pt_regs *ctx, __u32 slot)
{
	struct scratch *s = scratch_of(slot);
	int alive;

	if (!s)
		return 0;
	take_registers(&s->call, slot, ctx);
	alive = hook_screen(s, slot);
	return alive < 0 ? 0 : hook_record(slot, alive);
}

/* fexit: arguments and return value in one place. */
static __noinline int on_exit(void *ctx, __u32 slot)
{
	const volatile struct hook *hook = &hooks[slot];
	struct scratch *s = scratch_of(slot);
	__u64 raw[ARGS_MAX] = {};
	int alive;
	__u32 i;

	if (!s)
		return 0;
	if (hook->syscall) {
		bpf_get_func_arg(ctx, 0, &raw[0]);
	} else {
		for (i = 0; i < ARGS_MAX; i++) {
			if (i >= hook->nargs)
				break;
			if (hook->arg_index[i] < ARGS_MAX && hook->arg_type[i] != ARG_NOP)
				bpf_get_func_arg(ctx, hook->arg_index[i], &raw[hook->arg_index[i]]);
		}
	}
	take_args(&s->call, slot, raw);
	bpf_get_func_ret(ctx, &s->call.returned);
	alive = hook_screen(s, slot);
	return alive < 0 ? 0 : hook_record(slot, alive);
}

/* First half of a joined return: 0 when the return is wanted. */
static __noinline int enter(struct pt_regs *ctx, __u32 slot, __u64 sp)
{
	struct join_key key = { .thread = bpf_get_current_pid_tgid(), .sp = sp, .hook = hooks[slot].id };
	struct scratch *s = scratch_of(slot);
	struct join_value value = {};

	if (!s)
		return 1;
	take_registers(&s->call, slot, ctx);
	if (hook_screen(s, slot) < 0)
		return 1;
	__builtin_memcpy(value.args, s->call.args, sizeof(value.args));
	value.entered_ns = s->call.time_ns;
	if (bpf_map_update_elem(&join, &key, &value, BPF_NOEXIST) == 0)
		return 0;
	/* The same thread at the same depth of its stack: the call before never came back to us. */
	if (bpf_map_update_elem(&join, &key, &value, BPF_EXIST) == 0) {
		count(COUNTER_RETURN_MISSED);
		return 0;
	}
	count(COUNTER_JOIN_FULL);
	return 1;
}

static __noinline int leave(struct pt_regs *ctx, __u32 slot, __u64 sp)
{
	struct join_key key = { .thread = bpf_get_current_pid_tgid(), .sp = sp, .hook = hooks[slot].id };
	struct join_value *entered = bpf_map_lookup_elem(&join, &key);
	struct scratch *s = scratch_of(slot);

	if (!entered || !s)
		return 0;
	__builtin_memcpy(s->call.args, entered->args, sizeof(s->call.args));
	s->call.time_ns = entered->entered_ns;
	s->call.returned = PT_REGS_RC(ctx);
	/* The walk of the entry is not kept and the path may have moved meanwhile: the exact filters look at it anew. */
	__builtin_memset(&s->top, 0, sizeof(s->top));
	/* Who takes the entry out answers for it; one that stays is counted by the next entry or by the agent's sweep. */
	if (bpf_map_delete_elem(&join, &key))
		return 0;
	return hook_record(slot, hooks[slot].nselectors ? selectors_by_number(&hooks[slot], s->call.args) : 0);
}

#define JOINED_SP(ctx) (PT_REGS_SP(ctx) - sizeof(__u64)) /* the return address is popped by now */

#ifdef KTRAIL_SESSION_CTX
extern bool bpf_session_is_return(void *ctx) __ksym __weak;
extern __u64 *bpf_session_cookie(void *ctx) __ksym __weak;
#define SESSION_IS_RETURN(ctx) bpf_session_is_return(ctx)
#define SESSION_COOKIE(ctx) bpf_session_cookie(ctx)
#else
extern bool bpf_session_is_return(void) __ksym __weak;
extern __u64 *bpf_session_cookie(void) __ksym __weak;
#define SESSION_IS_RETURN(ctx) bpf_session_is_return()
#define SESSION_COOKIE(ctx) bpf_session_cookie()
#endif

/* One program for both ends; an entry that answers 1 has no return. */
static __noinline int on_session(struct pt_regs *ctx, __u32 slot)
{
	__u64 *cookie = SESSION_COOKIE(ctx);

	if (!SESSION_IS_RETURN(ctx)) {
		*cookie = PT_REGS_SP(ctx);
		return enter(ctx, slot, *cookie);
	}
	leave(ctx, slot, *cookie);
	return 0;
}

#define SLOT(n)                                                                                               \
	SEC("kprobe") int hook_entry_##n(struct pt_regs *ctx) { return on_entry(ctx, n); }                     \
	SEC("fexit") int hook_fexit_##n(void *ctx) { return on_exit(ctx, n); }                                 \
	SEC("kprobe") int hook_session_##n(struct pt_regs *ctx) { return on_session(ctx, n); }                 \
	SEC("kprobe") int hook_enter_##n(struct pt_regs *ctx) { enter(ctx, n, PT_REGS_SP(ctx)); return 0; }    \
	SEC("kretprobe") int hook_leave_##n(struct pt_regs *ctx) { return leave(ctx, n, JOINED_SP(ctx)); }

SLOT(0)
SLOT(1)
SLOT(2)
SLOT(3)
SLOT(4)
SLOT(5)
SLOT(6)
SLOT(7)
SLOT(8)
SLOT(9)
SLOT(10)
SLOT(11)
SLOT(12)
SLOT(13)
SLOT(14)
SLOT(15)
