/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_BASE_RECORD_H
#define KTRAIL_BASE_RECORD_H

/* Stamps a record and hands it to the ring. */

#include "../vmlinux/kernel.h"
#include "core_fixes.h"
#include "../event.h"
#include "maps.h"

/* Wake user space again when this many bytes wait: it reads at once then, and a little after the first record else. */
const volatile __u64 ring_watermark = 64 << 10;
/* Hits leave the rest to records of processes: a hit that is lost is one event, an exit that is lost is a process for ever. */
const volatile __u64 ring_hook_limit = ~0ull;

#define RING_HEADER_BYTES 8 /* in front of every record (include/uapi/linux/bpf.h BPF_RINGBUF_HDR_SZ) */
#define NSEC_PER_SEC 1000000000ull
#define NSEC_PER_MSEC 1000000ull

static __always_inline __u32 padded(__u32 len)
{
	return (len + 7) & ~7u;
}

/* A time as a record's header has it: its seconds, and above them its nanoseconds. */
static __always_inline __u64 header_time(__u64 now)
{
	/* 2^29 ns are 2305843009 / 2^32 s. The remainder is less than a second; a division takes as long as 50 instructions. */
	__u64 sec = ((now >> 29) * 2305843009) >> 32;
	__u64 nsec = now - sec * NSEC_PER_SEC;

	if (nsec >= NSEC_PER_SEC) {
		nsec -= NSEC_PER_SEC;
		sec++;
	}
	return nsec << 32 | sec;
}

/* And back. */
static __always_inline __u64 ns_of(__u64 time)
{
	return (__u32)time * NSEC_PER_SEC + (time >> 32);
}

/* `time`: as from header_time; `id`: as bpf_get_current_pid_tgid. */
static __always_inline void stamp_at(struct event_header *h, enum event_type type, __u64 time, __u64 id)
{
	h->type = type;
	*(__u64 *)&h->time_sec = time;
	h->tgid = id >> 32;
	h->tid = (__u32)id;
}

static __always_inline void stamp(struct event_header *h, enum event_type type, __u64 now, __u64 id)
{
	stamp_at(h, type, header_time(now), id);
}

/* Counts a record that the ring does not take. */
static __always_inline bool refuse(struct cpu_state *state, enum counter refused)
{
	__sync_fetch_and_add(&state->counters[refused], 1);
	return false;
}

/*
 * Whether the ring may take a record of `size` bytes; counts a refusal. `flags`: for its submission.
 *
 * Two records wake user space: the one that passes the watermark, and the first one after the reader emptied the ring.
 * The kernel itself finds the latter, after the commit (kernel/bpf/ringbuf.c bpf_ringbuf_commit: flags 0 wake if the
 * consumer stands at the record); a look at the fill beforehand would miss a reader that falls asleep in between.
 * The woken reader lets records gather before it reads: one wakeup for each would halve the throughput (measured).
 */
static __always_inline bool ring_takes(struct cpu_state *state, __u32 size, enum counter refused, __u64 *flags)
{
	__u64 waiting = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA), watermark = ring_watermark;
	__u64 then = waiting + padded(size) + RING_HEADER_BYTES;

	if (refused != COUNTER_RING_FULL_PROCESS && then > ring_hook_limit)
		return refuse(state, refused);
	*flags = waiting < watermark && then >= watermark ? BPF_RB_FORCE_WAKEUP : 0;
	return true;
}

/* Sends `size` bytes from `h` to the ring; false if it refuses them. `room`: constant size of what `h` points to. */
static __always_inline bool submit(struct event_header *h, __u32 size, __u32 room, enum counter refused)
{
	__u32 zero = 0;
	struct cpu_state *state = bpf_map_lookup_elem(&cpu_state, &zero);
	__u64 flags;

	if (!state)
		return false;
	h->size = size;
	h->cpu = bpf_get_smp_processor_id();
	h->seq = next_number(&state->seq);
	if (!ring_takes(state, size, refused, &flags))
		return false;
	/* Here, because the verifier of 6.1 forgets the bound of a spilled number. */
	barrier_var(size);
	if (size > room)
		return false;
	if (!bpf_ringbuf_output(&ring, h, size, flags))
		return true;
	return refuse(state, refused);
}

#endif
