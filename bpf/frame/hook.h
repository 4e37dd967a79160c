/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_FRAME_HOOK_H
#define KTRAIL_FRAME_HOOK_H

/*
 * The work at a hooked function for all policies on it, as constants. User space fills `hooks` before load, so the
 * verifier sees plain numbers and removes code that no policy uses. Their selectors are in maps, so that the verifier's work
 * does not grow with them. collector/plan/layout/hook.ts writes these structs.
 */

#include "../vmlinux/kernel.h"
#include "filter.h"
#include "../base/components.h"
#include "identity.h"

/* A value of a record. */
struct wanted_value {
	__u8 param;
	__u8 type;   /* enum arg_type */
	__u8 index;  /* its value.index in the record */
	__u8 members; /* number of members of an object */
	__u16 places; /* its value.places in the record; 0: the value is the parameter itself */
	__u16 shown;  /* bytes of an object's members, or of a file's details */
	__u32 place;  /* first entry in the map `places` */
	__u8 size;      /* of bytes: the parameter with their number, or the number of parts; PARAMS_MAX: no such parameter */
	__u8 size_type; /* enum arg_type of that parameter */
	__u8 returned;  /* enum arg_type of the return value, which is their number; ARG_NOP: they are read at the entry */
	__u8 more;      /* 1: up to DATA_MAX of them are read if the record has room */
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
	FIELD_PLACE,       /* an array: its address */
	FIELD_LOCATED,     /* a text behind the fields; the field has its offset from the start of the event */
	FIELD_LOCATED_ON,  /* a text behind the fields; the field has its offset from the end of this field */
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
	FROM_SYSCALL = 1,   /* in the pt_regs at which the first parameter points */
	FROM_REGISTERS = 2, /* some are registers: hook.fields, at the entry of a kprobe */
};

/* The verifier lets programs in a trampoline load numbers and pointers to structs. A helper reads the others; it takes longer. */
enum param_read {
	PARAM_UNREAD,
	PARAM_LOADED,
	PARAM_BY_HELPER,
};

struct hook {
	__u32 id;         /* identifies the function and its way of attaching; stays when its policies change */
	__u8 from;        /* enum param_source */
	__u8 nvalues;
	__u8 nnumbers;
	__u8 stacks;      /* enum stack_kind: records have these stacks */
	struct wanted_value values[VALUES_MAX];  /* the path that the screen checks, if any, is the first */
	struct screened_number numbers[SCREENED_NUMBERS];
	__u32 words;      /* number of words in use of a set of selectors */
	__u32 all;        /* set of all selectors */
	__u64 first_all;  /* first word of `all` */
	__u32 selectors;  /* first of them in the map `selectors` */
	__u32 nselectors;
	__u32 actions;     /* 1: some selectors have actions other than to report a call */
	__u32 conditional; /* 1: selectors have conditions of the process */
	__u32 conditions;  /* set of conditions of which the process must fulfil one for any selector to match; EMPTY_SET: a selector has no condition */
	__u16 placed;      /* 1: selectors have conditions of the pod or container (frame/workload.h) */
	__u8 early;        /* 1: the first filters of selectors, and conditions of the task, may reject a call before the record's values are read */
	__u8 judged;       /* bits of the values that these filters test */
	__u32 workloads;   /* as `conditions`, of the cgroup of the task */
	__u16 condition_words; /* bit n: selectors have conditions of word n; other words of scratch.conditions are not set */
	__u8 denies;       /* 1: some selectors make calls fail */
	__u8 awaits;       /* 1: some selectors make calls fail, and the return is joined */
	__u8 at_return;    /* 1: calls are judged at their return, because some are aggregated by the returned value or show bytes that the function fills in */
	__u8 params[PARAMS_MAX]; /* enum param_read: how programs in a trampoline read them, and which of `fields` are read */
	struct event_field fields[PARAMS_MAX]; /* of a tracepoint; or of pt_regs */
	struct path_screen path;
	struct file_screen files[FILES_MAX];
};

const volatile struct hook hooks[HOOK_SLOTS];

/*
 * Prevents that the compiler computes the address of a hook again at each use. It is not used if loads are calls, because the walk then needs the
 * register for its counter. The verifier of 5.10 loses a counter that was spilled ("infinite loop").
 */
#ifdef KTRAIL_TYPED
#define KEEP(hook) barrier_var(hook)
#else
#define KEEP(hook)
#endif

#endif
