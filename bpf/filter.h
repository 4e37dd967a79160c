/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_FILTER_H
#define KTRAIL_FILTER_H

/*
 * What filters are made of, whatever their class. The classes have a header each, with their constants, their map and
 * their test: match/number.h, match/text.h, match/path.h.
 */

enum limit {
	HOOK_SLOTS = 16,     /* hooks in one object: programs are stubs that name their slot */
	ARGS_MAX = 5,
	SELECTORS_MAX = 5,
	FILTERS_MAX = 5,
	FILTER_NUMBERS = 4,  /* more values than that go into the map `numbers` */
};

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
};

enum filter_class {
	CLASS_NUMBER,
	CLASS_TEXT,
	CLASS_PATH,
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
};

struct filter {
	__u8 arg;    /* position in hook.args */
	__u8 class;  /* enum filter_class */
	__u8 op;     /* enum filter_op */
	__u8 count;  /* numbers in use; 0: look into the map `numbers` */
	__u32 id;    /* key part in the maps `numbers`, `texts` and `suffixes` */
	__u64 numbers[FILTER_NUMBERS];
};

struct selector {
	__u32 count;
	__u32 reserved;
	struct filter filters[FILTERS_MAX];
};

#endif
