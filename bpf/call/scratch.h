/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_SCRATCH_H
#define KTRAIL_SCRATCH_H

/* Where one call of a hooked function is worked on. */

#include "../vmlinux/kernel.h"
#include "../event.h"
#include "../path.h"
#include "../filter.h"
#include "../match/text.h"
#include "../match/identity.h"
#include "../match/aggregate.h"
#include "../process/start.h"

#define RECORD_BYTES (22 << 10) /* a value begins within: also a return value behind VALUE_TEXTS_MAX paths of full length */

/* The data of a call, however it arrived. */
struct call {
	__u64 params[PARAMS_MAX];
	__u64 returned;  /* with HOOK_RETURN_FOLLOWS the number of the call */
	__u64 time;      /* header_time of its beginning */
	__u64 thread;    /* whose call it is, as bpf_get_current_pid_tgid says it */
	__u64 sp;        /* where the return is to be joined */
	__u16 returns;   /* enum hook_flag, for records of policies that ask for the return value */
	__u8 unread;     /* a text could not be read, and the return is yet to come */
	__u8 awaited;    /* a record with HOOK_RETURN_FOLLOWS is in the ring */
	__u32 at_once;   /* an unread text does not leave the call to its return */
};

/* How far the bytes of an argument are read: args/bytes.h. */
struct taking {
	__u64 parts;  /* address of the next struct iovec */
	__u64 limit;  /* how many bytes there are at most */
	__u64 total;  /* of the parts so far */
	__u64 skip;   /* of the next part */
	__u32 count;  /* parts that are left */
	__u32 at;     /* where the record has them */
	__u32 len;    /* how many it has */
	__u32 unread; /* 1: the bytes after them could not be read */
	__u32 most;   /* how many it may have */
	__u32 reserved;
};

/* Work space of one function on one CPU. One for each slot: a program is never entered twice on a CPU, another may be. */
struct scratch {
	__u64 runs;  /* calls that the program looked at: a count that needs no rights and no look-up of its own */
	struct known_start caller;  /* of the last record */
	struct call call;  /* here and not on the stack, of which all functions of a program share 512 bytes */
	struct place at;  /* what the screened path argument leads to */
	struct top top;
	__u64 ring[TOP_MAX];
	struct component first;  /* of the path, where top.whole and it has one */
	__u64 alive[SET_WORDS];  /* selectors that the numbers leave */
	__u64 left[SET_WORDS];   /* of these, those that the path leaves too */
	__u64 unasked[SET_WORDS]; /* selectors that is_wanted has yet to test */
	__u64 files[FILES_MAX];  /* identity filters that want the files of hook.files */
	__u64 walked;  /* address to start from, then the value found there */
	struct taking bytes;
	__u64 conditions[SET_WORDS]; /* fulfilled by process or cgroup, if tested */
	union {
		struct suffix_entry reversed;
		struct text_entry part;
	};
	struct selector_id selector; /* that is carried out */
	struct {
		struct repeat_key key;
		__u32 at;    /* what of a text is still to be hashed */
		__u32 left;
		struct aggregate first; /* of equal calls */
	} repeat;
	struct {
		__u32 state;
		__u32 at;
		__u32 left;
	} search; /* for a value that a text contains */
	__u32 offset[VALUES_MAX];  /* of each value in the record */
	__u32 written;  /* how many there are */
	__u32 end;      /* of the last one */
	__u32 done;     /* policy_hook that has its record: its further selectors are alternatives */
	__u32 file_flags[FILES_MAX]; /* enum value_flag: what is not sure about them */
	__s32 error;    /* what the call is to give without being made; 0: it is made */
	struct {
		__u64 inode;
		__u64 mount;
	} file;  /* of the file that was written last, for its details */
	__u32 named[FILES_MAX][NAMED_MAX];
	__u32 wanted;   /* is_wanted */
	__u32 decided;  /* the screen saw the path of the record: filters that it knows all about need no second look */
	char record[RECORD_BYTES + 2 * PATH_BYTES + 512] __attribute__((aligned(8)));
};

MAP(PERCPU_ARRAY, scratch, __u32, struct scratch, HOOK_SLOTS);

/* By value: a variable whose address is taken is no longer a constant to the verifier. */
static __always_inline struct scratch *scratch_of(__u32 slot)
{
	return bpf_map_lookup_elem(&scratch, &slot);
}

/* The value at an offset of the record, if the largest one has room there. */
static __always_inline struct value *value_at(struct scratch *s, __u32 at)
{
	/* The verifier of 6.1 forgets the bound of a spilled number: it requires the test right here. */
	barrier_var(at);
	if (at > RECORD_BYTES)
		return 0;
	return (struct value *)(s->record + at);
}

#endif
