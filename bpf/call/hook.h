/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_HOOK_H
#define KTRAIL_HOOK_H

/*
 * The work at a hooked function for all policies on it, as constants. User space fills `hooks` before load, so the
 * verifier sees plain numbers and removes code that no policy uses. Their selectors are in maps, so that the verifier's work
 * does not grow with them. collector/kernel/layout/hook.ts writes these structs.
 */

#include "../vmlinux/kernel.h"
#include "../filter.h"
#include "../match/path.h"
#include "../match/identity.h"

/* A value of a record. */
struct wanted_value {
	__u8 param;
	__u8 type;   /* enum arg_type */
	__u8 index;  /* what the record calls it (value.index) */
	__u8 members; /* of an object */
	__u16 places; /* the same (value.places); 0: the value is the parameter itself */
	__u16 shown;  /* bytes of an object's members, or of a file's details */
	__u32 place;  /* first entry in the map `places` */
	__u8 size;      /* of bytes: the parameter that says how many there are, or how many parts; PARAMS_MAX: none does */
	__u8 size_type; /* and how it is read, enum arg_type */
	__u8 returned;  /* how the return value is read that says how many there are; ARG_NOP: they are read at the entry */
	__u8 more;      /* 1: DATA_MAX of them are read, where the record has room */
};

struct screened_number {
	__u8 param;
	__u8 type;
	__u16 reserved;
	__u32 sets;  /* its first entry in the map `number_sets` */
};

enum field_kind {
	FIELD_UNSIGNED,
	FIELD_SIGNED,
	FIELD_PLACE,       /* an array: where it is */
	FIELD_LOCATED,     /* a text that stands behind the fields; here is where, from the start of the event */
	FIELD_LOCATED_ON,  /* likewise, from the end of this field */
	FIELD_SYSCALL,     /* number of a system call; bit 31: of 32-bit programs */
};

enum stack_kind {
	STACK_KERNEL = 1,
	STACK_USER = 2,
};

/* How the event of a tracepoint has a parameter. An argument of a raw one is a field of 8 bytes. */
struct event_field {
	__u16 offset;
	__u8 width;  /* of a number, in bytes */
	__u8 kind;   /* enum field_kind */
};

/* Sources of parameters that are not those of the function: bits. */
enum param_source {
	FROM_SYSCALL = 1,   /* in the pt_regs that the first one points to */
	FROM_REGISTERS = 2, /* some are registers: hook.fields, at the entry of a kprobe */
};

/* The verifier lets programs in a trampoline load numbers and pointers to structs. A helper reads the others; it takes longer. */
enum param_read {
	PARAM_UNREAD,
	PARAM_LOADED,
	PARAM_BY_HELPER,
};

struct hook {
	__u32 id;         /* of the function and its way of attaching; stays when its policies change */
	__u8 from;        /* enum param_source */
	__u8 nvalues;
	__u8 nnumbers;
	__u8 stacks;      /* enum stack_kind: records have these stacks */
	struct wanted_value values[VALUES_MAX];  /* first the path that the screen looks at, if it does */
	struct screened_number numbers[SCREENED_NUMBERS];
	__u32 words;      /* in use of a set of selectors */
	__u32 all;        /* set of all selectors */
	__u64 first_all;  /* its first word */
	__u32 selectors;  /* first of them in the map `selectors` */
	__u32 nselectors;
	__u32 actions;     /* 1: some do other than report a call */
	__u32 conditional; /* 1: selectors ask for conditions of the process */
	__u32 conditions;  /* set: no selector matches unless the process fulfils one; EMPTY_SET: a selector has none */
	__u16 placed;      /* 1: selectors ask where the task runs (match/workload.h) */
	__u16 early;       /* 1: a call may be rejected by what selectors ask of its task, before the record's values are read */
	__u32 workloads;   /* set: no selector matches unless its cgroup fulfils one; EMPTY_SET: a selector has none */
	__u16 condition_words; /* bit n: selectors ask for conditions of word n; other words of scratch.conditions are not set */
	__u8 denies;       /* 1: some have calls fail */
	__u8 awaits;       /* 1: of such a function, the return is joined */
	__u8 at_return;    /* 1: calls are judged at their return, because some are aggregated with what they return, or show bytes that it fills in */
	__u8 params[PARAMS_MAX]; /* enum param_read: as programs in a trampoline read them, and which of `fields` are read */
	struct event_field fields[PARAMS_MAX]; /* of a tracepoint; or of pt_regs */
	struct path_screen path;
	struct file_screen files[FILES_MAX];
};

const volatile struct hook hooks[HOOK_SLOTS];

/*
 * Keeps the compiler from working out the address of a hook anew at each use. Not where loads are calls: there the walk needs the register for its
 * counter. The verifier of 5.10 loses a counter that was spilled ("infinite loop").
 */
#ifdef KTRAIL_TYPED
#define KEEP(hook) barrier_var(hook)
#else
#define KEEP(hook)
#endif

#endif
