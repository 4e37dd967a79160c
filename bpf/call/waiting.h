/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_CALL_WAITING_H
#define KTRAIL_CALL_WAITING_H

/*
 * Calls that wait for their return. Only call/returns.h uses this. A return needs only the time of its entry: in the table `pending`, or
 * carried by the kernel (a session, base/core_fixes.h). Calls that take more are in the map `join`: one without records, one whose end the ring refused,
 * and one whose place in the table is taken.
 *
 * Each entry of the map leaves it once: by its return, by the next call at the same place, or by user space. User space sweeps
 * the map for calls whose thread has ended and for ends that the ring refused. Each of these reports the end of the call to user space.
 */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "../event.h"
#include "../frame/filter.h"

/* The stack pointer distinguishes nested calls. */
struct join_key {
	__u64 thread;
	__u64 sp;
	__u32 hook;
	__u32 reserved;
};

enum join_state {
	JOIN_WAITS,     /* user space has records of the call */
	JOIN_UNREAD,    /* user space has no record: a text could not be read at the entry, so the return decides */
	JOIN_RETURNED,  /* the ring refused the return, so user space reads it here */
	JOIN_MISSED,    /* as JOIN_RETURNED, but the return was never seen */
};

struct join_value {
	__u64 params[PARAMS_MAX];
	__u64 entered;   /* header_time of the entry */
	__u64 returned;
	__u32 state;  /* enum join_state */
	__u32 reserved;
};

MAP(HASH, join, struct join_key, struct join_value, 8192);

/* Entries of the map that programs have added, less those that they have removed; and entries that user space has removed, which only it writes. */
volatile __u64 join_kept SEC(".data.kept") = 0;
volatile __u64 join_swept SEC(".data.swept") = 0;

/* True nearly always, and much cheaper than a look-up of one call. */
static __always_inline bool join_is_empty(void)
{
	return join_kept == join_swept;
}

/* False if the call has an entry already, or if the map is full. */
static __always_inline bool join_add(const struct join_key *key, const struct join_value *value)
{
	if (bpf_map_update_elem(&join, key, value, BPF_NOEXIST))
		return false;
	__sync_fetch_and_add(&join_kept, 1);
	return true;
}

static __always_inline bool join_delete(const struct join_key *key)
{
	if (bpf_map_delete_elem(&join, key))
		return false;
	__sync_fetch_and_add(&join_kept, -1);
	return true;
}

/* Unique among the calls in progress: each has its place on some stack. */
static __always_inline __u64 call_number(__u64 sp, __u32 hook)
{
	return sp << 16 | (__u16)hook;
}

#define PENDING_BITS 12

struct pending {
	__u64 call;  /* number of the call; 0: the place is free */
	__u64 entered;  /* header_time */
};

/* By number. Only programs write it. A call that never returned keeps its place until the next call with its number, which reports that in the ring. */
volatile struct pending pending[1 << PENDING_BITS] SEC(".data.pending") = {};

#ifdef KTRAIL_BOUNDED
/* Linux 5.10 has no compare-and-exchange for programs. */
#define HAS_PENDING false
static __always_inline bool pending_add(__u64 call, __u64 entered) { return false; }
static __always_inline bool is_pending(__u64 call) { return false; }
static __always_inline __u64 pending_remove(__u64 call) { return 0; }
#else
#define HAS_PENDING true
static __always_inline volatile struct pending *pending_at(__u64 call)
{
	return &pending[call * 0x9e3779b97f4a7c15ull >> (64 - PENDING_BITS)];
}

/* False when another call has the place, or one with this number that never came back. */
static __always_inline bool pending_add(__u64 call, __u64 entered)
{
	volatile struct pending *at = pending_at(call);

	if (__sync_val_compare_and_swap(&at->call, 0, call))
		return false;
	at->entered = entered;
	return true;
}

static __always_inline bool is_pending(__u64 call)
{
	return pending_at(call)->call == call;
}

/* The time of its entry; 0 when it is not there. */
static __always_inline __u64 pending_remove(__u64 call)
{
	volatile struct pending *at = pending_at(call);
	__u64 entered;

	if (at->call != call)
		return 0;
	entered = at->entered;
	/* The place is freed only after the time was read, because the next call may write its own. */
	at->call = number_after(0, entered);
	return entered;
}
#endif

#endif
