/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_FRAME_FILTER_H
#define KTRAIL_FRAME_FILTER_H

/*
 * Common parts of all filters. The classes have a header each, with their constants and their maps:
 * match/number.h, frame/texts.h, base/components.h.
 */

#include "../vmlinux/kernel.h"

enum limit {
	HOOK_SLOTS = 16,      /* functions in one object: programs are stubs that name their slot */
	PARAMS_MAX = 5,       /* parameters of a function that a policy can name */
	PARAM_TASK = PARAMS_MAX, /* in place of a parameter: the calling task */
	VALUES_MAX = 8,       /* values of a record: pairs of parameter and type in the policies of a function */
	VALUE_TEXTS_MAX = 5,  /* texts and paths among these values, each up to 4,096 bytes */
	SELECTORS_MAX = 512,  /* selectors of all policies on a function */
	SET_WORDS = 8,
	FILTERS_MAX = 22,     /* filters of one selector: five on arguments, the others on the task */
	ACTIONS_MAX = 3,      /* actions of one selector */
	FILTER_NUMBERS = 4,   /* numbers of a filter; if it has more, they are in the map `numbers` */
	SCREENED_NUMBERS = 4, /* numbers of a function by which calls are rejected */
	PLACE_STEPS = 10,     /* pointers that are followed to a member of a struct */
	MEMBERS_MAX = 24,     /* members of an argument that is shown as several ones */
	OBJECT_BYTES = 512,   /* bytes of all these members */
	BYTES_MAX = 4095,     /* bytes that are read of a buffer */
	DATA_MAX = 16384,     /* the same, if a policy sets maxData */
	STACK_FRAMES_MAX = 127, /* frames of each stack; include/uapi/linux/perf_event.h PERF_MAX_STACK_DEPTH */
	OVERLAY_STEPS = 3,    /* pointers that are followed to an overlay's lower file */
	SMALL_NUMBERS = 64,   /* 0 to 63 are screened by value, all other numbers as one value */
};

_Static_assert(SELECTORS_MAX == 64 * SET_WORDS, "one bit each");

/* How an argument is read: args/. Numbers by sign and width. */
enum arg_type {
	ARG_NOP,
	ARG_FILE,
	ARG_PATH,
	ARG_STRING,
	ARG_S8,
	ARG_S16,
	ARG_S32,
	ARG_S64,
	ARG_U8,
	ARG_U16,
	ARG_U32,
	ARG_U64,
	ARG_SOCK,
	ARG_SOCKET,
	ARG_SKB,
	ARG_SOCKADDR,
	ARG_NET_DEVICE,  /* its name, as a text */
	ARG_FILENAME,    /* struct filename: a path that the kernel has copied */
	ARG_FD,          /* the file to which this descriptor leads now */
	ARG_KIOCB,
	ARG_BINPRM,
	ARG_DENTRY,
	ARG_OBJECT,      /* several members of a struct: args/place.h */
	ARG_CHAR_BUF,    /* bytes: args/bytes.h */
	ARG_CHAR_IOVEC,
	ARG_IOV_ITER,
	ARG_SOCKADDR_UN, /* args/unix.h */
};

/* The place of a member, relative to the address of a struct. */
struct place_entry {
	__u32 offsets[PLACE_STEPS];  /* offsets of the pointers to the next struct */
	__u32 last;     /* offset of the member */
	__u16 at;       /* offset of the member behind struct object_info */
	__u8 steps;
	__u8 size;      /* size of the member in bytes; 0: the value is its address */
	__u8 is_signed;
	__u8 bit;       /* first bit of a bit field */
	__u8 bits;      /* width of a bit field; 0: the member is none */
	__u8 text;      /* the member is or points to a text, of which this many bytes are shown */
	__u8 user;      /* 1: this text is in the memory of the caller */
	__u8 reserved[3];
};

/* Offsets in bytes from the inode of an overlay's file; `upper` 0: not known. */
struct overlay_places {
	__u32 upper;  /* pointer to the dentry in the upper layer */
	__u32 steps;  /* pointers to follow to the inode in the lower layer */
	__u32 lower[OVERLAY_STEPS];
};

enum filter_class {
	CLASS_NUMBER,
	CLASS_TEXT,
	CLASS_PATH,
	CLASS_NAMESPACE,   /* of the calling task: match/task.h */
	CLASS_CAPABILITY,
	CLASS_NAMESPACE_CHANGE,   /* `numbers`: bits of its namespaces */
	CLASS_CAPABILITY_CHANGE,
	CLASS_SOCKET,      /* match/socket.h */
	CLASS_FILE_TYPE,   /* `numbers`: bits of i_mode with the type of the file */
	CLASS_IDENTITY,    /* frame/identity.h: `numbers`: the bit of the filter's paths, and the index in hook.files */
};

enum filter_op {
	OP_EQUAL,      /* one of */
	OP_NOT_EQUAL,  /* none of */
	OP_MASK,       /* any bit of */
	OP_PREFIX,
	OP_NOT_PREFIX,
	OP_POSTFIX,
	OP_NOT_POSTFIX,
	OP_GREATER_THAN,
	OP_LESS_THAN,
	OP_NOT_MASK,   /* no bit of */
	OP_SAME_FILE,
	OP_UNDER_DIR,
	OP_SUB_STRING,  /* contains one of; the filter's number is the start of its search in `automata` */
};

struct filter {
	__u8 value;  /* position in hook.values; of a task, the namespace or the set of capabilities */
	__u8 class;  /* enum filter_class */
	__u8 op;     /* enum filter_op */
	__u8 count;  /* numbers in use; 0: they are in the map `numbers`; for a socket: enum socket_member */
	__u32 id;    /* key part in the maps `numbers`, `texts`, `suffixes` and `socket_values` */
	__u64 numbers[FILTER_NUMBERS];
};

/* Repeats of a call count within this scope. */
enum repeat_scope {
	SCOPE_THREAD,
	SCOPE_PROCESS,
	SCOPE_GLOBAL,
};

/* Properties that a call and its repeat have in common. */
struct repeat_key {
	__u32 policy_hook;
	__u32 caller;     /* by scope: tid, tgid or 0 */
	__u64 arguments;  /* hash of the arguments */
};

enum aggregate_flag {
	AGGREGATE_CALLS = 1,   /* equal calls of a process have one record */
	AGGREGATE_ERRORS = 2,  /* equal calls also have the same error */
	AGGREGATE_BYTES = 4,   /* return values are bytes */
};

/* Actions on a call that a selector matches (call/action.h); all 0: a record. */
struct action {
	__u32 interval_ms;           /* interval in which repeats have no record; 0: all calls have one */
	__u8 signals[ACTIONS_MAX];   /* sent to the process, in order; 0: no more */
	__u8 hide;                   /* no record */
	__u8 scope;                  /* enum repeat_scope */
	__u8 values;                 /* bits of the hook.values that are equal in repeats and aggregated calls */
	__s16 error;                 /* error that the call returns without being made; 0: it is made */
	__u32 aggregate;             /* enum aggregate_flag; 0: each call has a record */
	__u32 enforcer;              /* enforcer for whose calls the selector leaves a note, or whose call it is; 0: none */
	__s16 note_error;            /* error that the noted call returns; 0: it is made */
	__u8 note_signal;            /* signal of the note to the process; without error and signal, an earlier note is deleted */
	__u8 enforces;               /* 1: this is a call of the enforcer, which carries out a note */
};

/* A selector's note for the thread's next call to a function of the policy's enforcer. */
struct note_key {
	__u64 thread;
	__u32 enforcer;
	__u32 reserved;
};

struct note {
	__u64 started_ns;  /* start of the thread, because another one may have its number by now */
	__s16 error;
	__u8 signal;
	__u8 reserved[5];
};

/* A selector among those of all policies. */
struct selector_id {
	__u32 policy_hook;
	__u32 index;  /* of the selector within the policy's hook */
};

/* Counters of actions on the calls that a selector with actions has matched. */
struct acted {
	__u64 calls;
	__u64 refused;  /* calls that were only reported, because an action of the selector was not carried out */
	__u64 hidden;   /* calls without a record */
	__u64 repeats;  /* calls without a record, within the interval after an equal one */
	__u64 denied;
	__u64 signals[ACTIONS_MAX];  /* signals sent, by their place in `action`; of an enforcer: SIGKILL, then others */
	__u64 notified; /* notes left */
};

/* A selector of a policy; those of one policy on the function stand together, in its order. */
struct selector {
	__u32 policy_hook;  /* hook_id of its records */
	__u8 index;         /* of the selector within the policy's hook */
	__u8 count;
	__u8 undecided;     /* number of filters, the first ones, that the screen does not decide */
	__u8 return_type;   /* enum arg_type; ARG_NOP: the policy has no return value */
	__u32 conditions;   /* set of the conditions that the process must fulfil (process/conditions.h); EMPTY_SET: none */
	struct action action;
	__u16 changes;      /* 1: it has a filter on changes since its last match (match/task.h) */
	__u16 early;        /* number of filters, the first ones, that are tested before the record's values are read */
	struct filter filters[FILTERS_MAX];
};

/* By hook.selectors + bit. */
MAP(ARRAY, selectors, __u32, struct selector, 1);

#endif
