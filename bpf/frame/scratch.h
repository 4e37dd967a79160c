/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_FRAME_SCRATCH_H
#define KTRAIL_FRAME_SCRATCH_H

/* Working memory for one call of a hooked function. */

#include "../vmlinux/kernel.h"
#include "../event.h"
#include "../base/path.h"
#include "../base/path_text.h"
#include "filter.h"
#include "texts.h"
#include "identity.h"
#include "aggregate.h"
#include "../process/start.h"

/* The data of a call, however it arrived. */
struct call {
	__u64 params[PARAMS_MAX];
	__u64 returned;  /* return value; with HOOK_RETURN_FOLLOWS the number of the call */
	__u64 time;      /* header_time of its beginning */
	__u64 thread;    /* the calling thread, as bpf_get_current_pid_tgid returns it */
	__u64 sp;        /* stack pointer, if the return is to be joined */
	__u16 returns;   /* enum hook_flag, for records of policies with the return value */
	__u8 unread;     /* a text could not be read, and the return is yet to come */
	__u8 awaited;    /* a record with HOOK_RETURN_FOLLOWS is in the ring */
	__u32 at_once;   /* an unread text does not leave the call to its return */
};

/* How far the bytes of an argument are read: args/bytes.h. */
struct taking {
	__u64 parts;  /* address of the next struct iovec */
	__u64 limit;  /* maximum number of bytes */
	__u64 total;  /* bytes of the parts so far */
	__u64 skip;   /* bytes to skip of the next part */
	__u32 count;  /* parts that are left */
	__u32 at;     /* offset of the bytes in the record */
	__u32 len;    /* number of bytes in the record */
	__u32 unread; /* 1: the bytes after them could not be read */
	__u32 most;   /* maximum number of bytes in the record */
	__u32 reserved;
};

/* The memory of a function. */
struct scratch {
	struct text_walk walk;
	struct known_start caller;  /* process of the last record */
	struct call call;  /* not on the stack, because all functions of a program share its 512 bytes */
	struct place at;  /* file of the screened path argument */
	struct top top;
	__u64 ring[TOP_MAX];
	struct component first;  /* first component of the path, if top.whole and if it has one */
	struct {
		struct place at;
		struct top top;
		__u64 ring[TOP_MAX];
	} unscreened;  /* the same of another file, while its path is written */
	__u64 alive[SET_WORDS];  /* selectors that the screened numbers do not reject */
	__u64 left[SET_WORDS];   /* selectors of `alive` that the path does not reject either */
	__u64 unasked[SET_WORDS]; /* selectors that is_wanted has yet to test */
	__u64 files[FILES_MAX];  /* identity filters that match the files of hook.files */
	__u64 walked;  /* address to start from, then the value at its end */
	struct taking bytes;
	__u64 conditions[SET_WORDS]; /* conditions that the process or cgroup fulfils, if tested */
	union {
		struct suffix_entry reversed;
		struct text_entry part;
	};
	struct selector_id selector; /* the selector whose actions are carried out */
	struct {
		struct repeat_key key;
		__u32 at;    /* offset of the first byte of a text that is not hashed yet */
		__u32 left;
		struct aggregate first; /* the first of equal calls */
	} repeat;
	struct {
		__u32 state;
		__u32 at;
		__u32 left;
	} search; /* of a text for a value in it */
	__u32 offset[VALUES_MAX];  /* of each value in the record */
	__u32 written;  /* number of values */
	__u32 end;      /* end of the last value */
	__u32 done;     /* policy_hook whose record is written: its further selectors are alternatives */
	__u32 file_flags[FILES_MAX]; /* enum value_flag: doubts about each of `files` */
	__s32 error;    /* error that the call returns without being made; 0: it is made */
	struct {
		__u64 inode;
		__u64 mount;
	} file;  /* the file that was written last, for its details */
	__u32 named[FILES_MAX][NAMED_MAX];
	__u32 wanted;   /* result of is_wanted */
	__u32 decided;  /* 1: the screen saw the path of the record; filters that it has decided are not tested again */
	char record[] __attribute__((aligned(8)));
};
_Static_assert(sizeof(struct scratch) == RECORD_AT, "user space adds the size of the record");

/* The last text of a record begins within; at least TEXT_ROOM is behind. */
const volatile __u32 record_texts = RECORD_BYTES;
/* Bytes of the record. */
#define RECORD_ROOM (scratch_bytes - RECORD_AT)

/* By value: a variable whose address is taken is no longer a constant to the verifier. */
static __always_inline struct scratch *scratch_of(__u32 slot)
{
	return (struct scratch *)walk_of(slot);
}

static __always_inline struct value *value_within(struct scratch *s, __u32 at, __u32 most)
{
	/* The verifier of 6.1 forgets the bound of a spilled number: it requires the test right here, and the address behind it. */
	barrier_var(at);
	if (at > most)
		return 0;
	barrier_var(at);
	return (struct value *)(s->record + at);
}

/* The value at an offset of the record, if VALUE_ROOM is there. */
static __always_inline struct value *value_at(struct scratch *s, __u32 at)
{
	return value_within(s, at, RECORD_ROOM - VALUE_ROOM);
}

/* The value at an offset of the record, if the largest one has room there. */
static __always_inline struct value *text_at(struct scratch *s, __u32 at)
{
	return value_within(s, at, record_texts);
}

#endif
