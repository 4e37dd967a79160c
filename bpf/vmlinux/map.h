/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_MAP_H
#define KTRAIL_MAP_H

/* A map in a line, as libbpf reads its definition: MAP(HASH, sizes, struct file_key, __u64, 1024). */
#define MAP(kind, name, key_type, value_type, entries)                                                                 \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_##kind);                                                                     \
		__uint(max_entries, entries);                                                                          \
		__type(key, key_type);                                                                                 \
		__type(value, value_type);                                                                             \
	} name SEC(".maps")

/* The kernel allocates entries of a trie one by one. */
#define TRIE(name, key_type, value_type, entries)                                                                      \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_LPM_TRIE);                                                                   \
		__uint(map_flags, BPF_F_NO_PREALLOC);                                                                  \
		__uint(max_entries, entries);                                                                          \
		__type(key, key_type);                                                                                 \
		__type(value, value_type);                                                                             \
	} name SEC(".maps")

#endif
