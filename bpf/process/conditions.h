/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_PROCESS_CONDITIONS_H
#define KTRAIL_PROCESS_CONDITIONS_H

/*
 * Conditions on the process of a call: its program, its parent's program, its pid. Each distinct one of all policies has a
 * bit. The bits of a process are computed at its first call, and again after an exec or when there are other
 * conditions (the generation). Later calls look them up.
 *
 * Like the sets of selectors: a text or a number is looked up once, and gives all conditions that it fulfils.
 */

#include "../vmlinux/kernel.h"

enum condition_limit {
	CONDITION_WORDS = 8,
	FOLLOWING_MAX = 64,     /* the first word: conditions that a process hands down to its descendants */
	PROGRAM_START = 255,    /* bytes kept of the start of a program's path */
	PROGRAM_END = 128,      /* bytes kept of the end of the path */
	ANCESTORS_MAX = 10,     /* the parent and nine above it, as in Tetragon */
	GENERATIONS_AT_ONCE = 2,
};

/* The property that a condition checks. */
enum condition_kind {
	CONDITION_PROGRAM,
	CONDITION_PARENT,
	CONDITION_PID,
	CONDITION_INNER_PID,  /* pid in the process's own pid namespace */
	CONDITION_KINDS,
};

/* A file that is executed. */
struct program {
	__u32 len;     /* bytes of the path, as the process saw it at its exec; 0: a kernel thread, or not known */
	__u8 known;    /* 0: the program is not known */
	__u8 unread;   /* 1: a part of its path was not read */
	__u16 reserved;
	char start[PROGRAM_START + 1];
	char end[PROGRAM_END];  /* last byte first */
};

/* The program of a process, by host tgid. The parent's program is the one at the fork, or the one before the exec. */
struct image {
	struct program program;
	struct program parent;
	__u32 inner_pid;  /* 0: the pid is the host's */
	__u32 exec_id;    /* exec since which inner_pid is valid; 0: not known yet */
};

/* If tracing programs may allocate (6.1 on), user space makes `images` and `verdicts` grow; otherwise they are smaller. */
MAP(HASH, images, __u32, struct image, 131072);

/* The conditions that a process fulfils. Replaced as a whole, so that no reader sees half of it. */
struct verdict {
	__u64 bits[CONDITION_WORDS];
	__u64 followed;    /* conditions of the first word that the process or an ancestor has or had, before any negation */
	__u32 generation;  /* generation of `followed`, and of `bits` if they are `current` */
	__u32 current;     /* 0: `bits` must be computed */
	__u32 exec_id;     /* exec_id of the image from which `bits` were computed */
	__u32 reserved;
};

MAP(HASH, verdicts, __u32, struct verdict, 131072);

struct condition_set {
	__u64 bits[CONDITION_WORDS];
};

/* All conditions of a generation. */
struct conditions {
	struct condition_set negated;                /* conditions that hold if their values do not */
	struct condition_set kinds[CONDITION_KINDS];
	__u64 following;                             /* bits in use of the first word */
	__u32 since[FOLLOWING_MAX];                  /* generation since which a bit of the first word has its meaning */
	__u32 inner;                                 /* 1: descendants are found by inner pids too */
	__u32 reserved;
};

/* The key is generation % GENERATIONS_AT_ONCE, because programs may still read the generation before. */
MAP(ARRAY, conditions, __u32, struct conditions, GENERATIONS_AT_ONCE);

/* The present generation; 0: no conditions exist yet. */
MAP(ARRAY, generation, __u32, __u32, 1);

/* `table`: generation % GENERATIONS_AT_ONCE, times CONDITION_KINDS, plus enum condition_kind. */
struct program_key {
	__u32 bits;
	__u8 table;
	char text[PROGRAM_START];
};

struct program_value {
	__u32 len;
	__u32 reserved;
	struct condition_set begins;  /* conditions of a path that begins with this text */
	struct condition_set is;      /* conditions of a path that is this text */
};

TRIE(program_starts, struct program_key, struct program_value, 65536);

struct program_end_key {
	__u32 bits;
	__u32 table;
	char text[PROGRAM_END];
};

TRIE(program_ends, struct program_end_key, struct condition_set, 65536);

struct pid_key {
	__u32 table;
	__u32 pid;
};

/* Filled from user space only. */
MAP(HASH, condition_pids, struct pid_key, struct condition_set, 16384);

#endif
