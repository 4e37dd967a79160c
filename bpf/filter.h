/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_FILTER_H
#define KTRAIL_FILTER_H

/*
 * What a hook wants, as constants. User space fills `hooks` before load, so the verifier sees plain numbers and removes
 * whatever a policy does not use. collector/plan.ts writes these structs; their layout is compared through BTF.
 */

#define HOOK_SLOTS 16      /* hooks in one object: programs are stubs that name their slot */
#define ARGS_MAX 5
#define SELECTORS_MAX 5
#define FILTERS_MAX 5
#define FILTER_NUMBERS 4   /* more values than that go into the map `numbers` */
#define HEADS_MAX 8
#define HEAD_PARTS 7
#define TAILS_MAX 8
#define NO_ARG 0xff
#define TEXT_KEY_BYTES 252 /* longest value of a text filter: an LPM key holds 256 bytes, 4 of them name the filter */
#define TAIL_KEY_BYTES 128

enum arg_type {
	ARG_NOP,
	ARG_FILE,
	ARG_PATH,
	ARG_S32,
	ARG_U32,
	ARG_U64,
	ARG_STRING,
	ARG_S64,
};

enum filter_op {
	OP_EQUAL,      /* one of */
	OP_NOT_EQUAL,  /* none of */
	OP_MASK,       /* any bit of */
	OP_PREFIX,
	OP_NOT_PREFIX,
	OP_POSTFIX,
	OP_NOT_POSTFIX,
};

struct filter {
	__u8 arg;       /* position in hook.args */
	__u8 op;        /* enum filter_op */
	__u8 count;     /* numbers in use; 0: look into the map `numbers` */
	__u8 reserved;
	__u32 id;       /* key part in the maps `numbers`, `texts` and `tails` */
	__u64 numbers[FILTER_NUMBERS];
};

struct selector {
	__u32 count;
	__u32 reserved;
	struct filter filters[FILTERS_MAX];
};

/* One path component to compare by its length and first bytes. */
struct part {
	__u64 word;  /* first 8 bytes, the rest zero */
	__u64 mask;
	__u32 len;
	__u32 open;   /* 1: the name may go on */
};

/* The beginning of a wanted path, for the first pass. */
struct head {
	__u16 parts;
	__u16 depth_min;
	__u32 depth_max;
	struct part part[HEAD_PARTS];
};

/* The end of a wanted path: the last component, compared from its end. */
struct tail {
	__u64 word;  /* last 8 bytes, in its upper end */
	__u64 mask;
	__u32 len;
	__u32 exact;  /* 1: the component is exactly this long */
};

struct hook {
	__u32 id;
	__u8 nargs;
	__u8 syscall;      /* arguments stand in the pt_regs that the first parameter points to */
	__u8 return_type;  /* enum arg_type; ARG_NOP: none is asked for */
	__u8 nselectors;
	__u8 arg_index[ARGS_MAX + 3];
	__u8 arg_type[ARGS_MAX + 3];
	__u8 screen_arg;   /* position in args of the path that heads and tails screen; NO_ARG: none */
	__u8 nheads;
	__u8 ntails;
	__u8 reserved[5];
	struct selector selectors[SELECTORS_MAX];
	struct head heads[HEADS_MAX];
	struct tail tails[TAILS_MAX];
};

const volatile struct hook hooks[HOOK_SLOTS];

struct number_key {
	__u32 filter;
	__u32 reserved;
	__u64 number;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct number_key);
	__type(value, __u8);
} numbers SEC(".maps");

struct text_entry {
	__u32 bits;
	__u32 filter;
	char bytes[TEXT_KEY_BYTES];
};

/* Values of Equal and Prefix: the longest stored value that begins the text; its length tells whether it is the whole. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct text_entry);
	__type(value, __u32);
} texts SEC(".maps");

struct tail_entry {
	__u32 bits;
	__u32 filter;
	char bytes[TAIL_KEY_BYTES];
};

/* Values of Postfix, last byte first. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct tail_entry);
	__type(value, __u32);
} tails SEC(".maps");

static __always_inline bool is_text(__u8 type)
{
	return type == ARG_FILE || type == ARG_PATH || type == ARG_STRING;
}

/* One of the filter's numbers, or for OP_MASK a common bit with one of them. */
static __always_inline bool number_among(const volatile struct filter *f, __u64 number)
{
	struct number_key key = { .filter = f->id, .number = number };
	__u32 i;

	if (f->count == 0)
		return bpf_map_lookup_elem(&numbers, &key) != 0;
	for (i = 0; i < FILTER_NUMBERS; i++) {
		if (i >= f->count)
			break;
		if (f->op == OP_MASK ? (number & f->numbers[i]) != 0 : number == f->numbers[i])
			return true;
	}
	return false;
}

/* Which selectors the numbers alone leave possible, one bit each. */
static __always_inline __u32 selectors_by_number(const volatile struct hook *hook, const __u64 *args)
{
	__u32 alive = 0, s, i;

	for (s = 0; s < SELECTORS_MAX; s++) {
		bool possible = true;

		if (s >= hook->nselectors)
			break;
		for (i = 0; i < FILTERS_MAX; i++) {
			const volatile struct filter *f = &hook->selectors[s].filters[i];

			if (i >= hook->selectors[s].count)
				break;
			if (f->arg >= ARGS_MAX || is_text(hook->arg_type[f->arg]))
				continue;
			if (number_among(f, args[f->arg]) == (f->op == OP_NOT_EQUAL))
				possible = false;
		}
		if (possible)
			alive |= 1u << s;
	}
	return alive;
}

/* First 8 bytes at an address, as a number. Names are allocated or embedded with at least that much room. */
static __always_inline __u64 bytes_at(__u64 address)
{
#ifdef KTRAIL_TYPED
	/* struct qstr only lends its type: its first member is 64 bits wide. */
	return TYPED(qstr, address)->hash_len;
#else
	__u64 bytes = 0;

	bpf_probe_read_kernel(&bytes, sizeof(bytes), (void *)address);
	return bytes;
#endif
}

static __always_inline bool part_matches(const volatile struct part *part, __u64 dentry)
{
	__u32 len = LOAD(dentry, dentry, d_name.len);
	__u64 name = (__u64)LOAD(dentry, dentry, d_name.name);

	if (part->open ? len < part->len : len != part->len)
		return false;
	return ((bytes_at(name) ^ part->word) & part->mask) == 0;
}

static __always_inline bool head_matches(const volatile struct head *head, const struct top *top, const __u64 *ring)
{
	__u32 i;

	if (top->depth < head->depth_min || top->depth > head->depth_max)
		return false;
	for (i = 0; i < HEAD_PARTS; i++) {
		if (i >= head->parts)
			break;
		if (!part_matches(&head->part[i], ring[(top->depth - 1 - i) & (TOP_MAX - 1)]))
			return false;
	}
	return true;
}

static __always_inline bool tail_matches(const volatile struct tail *tail, __u64 leaf)
{
	__u32 len = LOAD(dentry, leaf, d_name.len);
	__u64 name = (__u64)LOAD(dentry, leaf, d_name.name);
	__u64 bytes;

	if (tail->exact ? len != tail->len : len < tail->len)
		return false;
	/* A name shorter than the word is read from its start and moved up, never from before its start. */
	bytes = len >= 8 ? bytes_at(name + len - 8) : len ? bytes_at(name) << (64 - 8 * len) : 0;
	return ((bytes ^ tail->word) & tail->mask) == 0;
}

/*
 * First pass over the path that all selectors ask for: false only when none of their values can match.
 * `top` is left for the second pass.
 */
static __always_inline bool screen(const volatile struct hook *hook, struct place at, struct place root, __u64 *ring,
				   struct top *top)
{
	__u32 i;

	*top = walk_top(at, root, ring);
	if (!top->whole)
		return true;
	if (top->depth == 0)
		return false;
	for (i = 0; i < HEADS_MAX; i++) {
		if (i >= hook->nheads)
			break;
		if (head_matches(&hook->heads[i], top, ring))
			return true;
	}
	/* Where the file is the root of a mount (a single file bound over another), its name is the mount point's. */
	if (hook->ntails && at.dentry == (__u64)LOAD(mount, at.mount, mnt.mnt_root))
		return true;
	for (i = 0; i < TAILS_MAX; i++) {
		if (i >= hook->ntails)
			break;
		if (tail_matches(&hook->tails[i], at.dentry))
			return true;
	}
	return false;
}

/* A text of the record: its key words stand right before its bytes. */
static __always_inline bool text_matches(const volatile struct filter *f, struct value *v, struct text_key *key,
					 struct tail_entry *reversed)
{
	char *text = (char *)(key + 1);
	bool hit = false, cut = v->flags & VALUE_UNRESOLVED;
	__u32 *stored;
	__u32 len = v->len, i;

	/* Its folders were renamed in every try: any text may be the true one. */
	if (v->flags & VALUE_UNSTABLE)
		return true;
	/* No path at all never matches, but one that could not be read must not pass unseen. */
	if (len == 0 && v->kind == VALUE_FILE)
		return cut;
	switch (f->op) {
	case OP_EQUAL:
	case OP_NOT_EQUAL:
	case OP_PREFIX:
	case OP_NOT_PREFIX:
		key->filter = f->id;
		key->bits = 8 * (sizeof(key->filter) + (len < TEXT_KEY_BYTES ? len : TEXT_KEY_BYTES));
		stored = bpf_map_lookup_elem(&texts, key);
		if (f->op == OP_EQUAL || f->op == OP_NOT_EQUAL)
			hit = stored && *stored == len;
		else
			hit = stored != 0;
		/* A text without its beginning can not be refused by a prefix. */
		if (cut && (f->op == OP_PREFIX || f->op == OP_NOT_PREFIX))
			return true;
		return hit == (f->op == OP_EQUAL || f->op == OP_PREFIX);
	case OP_POSTFIX:
	case OP_NOT_POSTFIX:
		reversed->filter = f->id;
		for (i = 0; i < TAIL_KEY_BYTES; i++) {
			if (i >= len)
				break;
			reversed->bytes[i] = text[(len - 1 - i) & (2 * PATH_BYTES - 1)];
		}
		reversed->bits = 8 * (sizeof(reversed->filter) + (len < TAIL_KEY_BYTES ? len : TAIL_KEY_BYTES));
		hit = bpf_map_lookup_elem(&tails, reversed) != 0;
		return hit == (f->op == OP_POSTFIX);
	}
	return false;
}

#endif
