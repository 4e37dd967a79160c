/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_JOIN_H
#define KTRAIL_JOIN_H

/* A matched entry that waits for its return. The stack pointer distinguishes nested calls. */
struct join_key {
	__u64 thread;
	__u64 sp;
	__u32 hook;
	__u32 reserved;
};

struct join_value {
	__u64 params[PARAMS_MAX];
	__u64 entered_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct join_key);
	__type(value, struct join_value);
} join SEC(".maps");

#endif
