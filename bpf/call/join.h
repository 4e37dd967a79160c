/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_JOIN_H
#define KTRAIL_JOIN_H

/*
 * Calls that wait for their return, where entry and return are seen by different programs. The records of a call are made at
 * its entry, when paths and the caller's memory are those that the call was made with. The return sends its value behind
 * them, and user space puts the two together. A session (hook.bpf.c) keeps here only what it cannot tell at once.
 *
 * Each entry of the map leaves it once: by its return, by the next call at the same place, or by user space, which sweeps
 * the map for calls whose thread has ended and for what the ring refused. Each of these tells user space how the call ended.
 */

/* The stack pointer distinguishes nested calls. */
struct join_key {
	__u64 thread;
	__u64 sp;
	__u32 hook;
	__u32 reserved;
};

enum join_state {
	JOIN_WAITS,     /* user space has records of the call */
	JOIN_UNREAD,    /* it has none: a text could not be read at the entry, so the return decides */
	JOIN_RETURNED,  /* the ring refused the return; user space takes it from here */
	JOIN_MISSED,    /* likewise, of a return that was never seen */
};

struct join_value {
	__u64 params[PARAMS_MAX];
	__u64 entered_ns;
	__u64 returned;
	__u32 state;  /* enum join_state */
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct join_key);
	__type(value, struct join_value);
} join SEC(".maps");

enum join_count {
	JOIN_KEPT = 0,   /* entries that programs have added, less those that they have removed */
	JOIN_SWEPT = 1,  /* entries that user space has removed; only it writes this one */
	JOIN_COUNTS = 2,
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, JOIN_COUNTS);
	__type(key, __u32);
	__type(value, __u64);
} join_counts SEC(".maps");

/* Nearly always, and much cheaper to ask than for one call. */
static __always_inline bool no_call_waits(void)
{
	__u32 kept = JOIN_KEPT, swept = JOIN_SWEPT;
	__u64 *in = bpf_map_lookup_elem(&join_counts, &kept), *out = bpf_map_lookup_elem(&join_counts, &swept);

	return in && out && *in == *out;
}

static __always_inline void join_changed(__s64 by)
{
	__u32 kept = JOIN_KEPT;
	__u64 *in = bpf_map_lookup_elem(&join_counts, &kept);

	if (in)
		__sync_fetch_and_add(in, by);
}

/* False when there is an entry or no room. */
static __always_inline bool join_add(const struct join_key *key, const struct join_value *value)
{
	if (bpf_map_update_elem(&join, key, value, BPF_NOEXIST))
		return false;
	join_changed(1);
	return true;
}

static __always_inline bool join_delete(const struct join_key *key)
{
	if (bpf_map_delete_elem(&join, key))
		return false;
	join_changed(-1);
	return true;
}

/* Unique among the calls in progress: each has its place on some stack. */
static __always_inline __u64 call_number(const struct join_key *key)
{
	return key->sp << 16 | (__u16)key->hook;
}

/* False when the ring refuses it. */
static __always_inline bool send_return(const struct join_key *key, __u64 entered_ns, enum hook_flag how, __u64 returned)
{
	struct {
		struct event_header header;
		struct return_body body;
	} record = { .body = { .call = call_number(key), .returned = returned } };

	stamp(&record.header, EVENT_RETURN, entered_ns, key->thread);
	record.header.flags = how;
	return submit(&record.header, sizeof(record), sizeof(record), COUNTER_RING_FULL_RETURN);
}

#endif
