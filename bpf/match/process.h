/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_MATCH_PROCESS_H
#define KTRAIL_MATCH_PROCESS_H

/*
 * Conditions on the process of a call: its program, its parent's program, its pid. Each distinct one of all policies has a
 * bit. The bits of a process are worked out once, when it is first asked for, and again after an exec or when there are other
 * conditions (the generation). A call looks them up.
 *
 * Like the sets of selectors: a text or a number is looked up once, and gives all conditions that it fulfils.
 */

enum condition_limit {
	CONDITION_WORDS = 8,
	FOLLOWING_MAX = 64,     /* the first word: conditions that a process hands down to its descendants */
	PROGRAM_START = 255,    /* bytes kept of a program's path: so many from its start, */
	PROGRAM_END = 128,      /* and so many from its end */
	ANCESTORS_MAX = 10,     /* the parent, and nine beyond it, as Tetragon */
	GENERATIONS_AT_ONCE = 2,
};

/* What a condition looks at. */
enum condition_kind {
	CONDITION_PROGRAM,
	CONDITION_PARENT,
	CONDITION_PID,
	CONDITION_INNER_PID,  /* in the process's own pid namespace */
	CONDITION_KINDS,
};

/* A file that is executed. */
struct program {
	__u32 len;     /* of its path as the process saw it at its exec; 0: a kernel thread, or not known */
	__u8 known;    /* 0: nothing is known of it */
	__u8 unread;   /* its path was not read whole */
	__u16 reserved;
	char start[PROGRAM_START + 1];
	char end[PROGRAM_END];  /* last byte first */
};

/* What a process runs, by host tgid. The parent's program is the one that it ran when it forked, or the one before the exec. */
struct image {
	struct program program;
	struct program parent;
	__u32 inner_pid;  /* 0 when it is the host's */
	__u32 reserved;
};

/* User space lets `images` and `verdicts` allocate what they hold where tracing programs may (6.1 on), else makes them smaller. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__type(key, __u32);
	__type(value, struct image);
} images SEC(".maps");

/* The conditions that a process fulfils. Replaced as a whole, so that no reader sees half of it. */
struct verdict {
	__u64 bits[CONDITION_WORDS];
	__u64 followed;    /* of the first word, what it has or had itself, or an ancestor: before any negation */
	__u32 generation;  /* of `followed`, and of `bits` where they are `current` */
	__u32 current;     /* 0: `bits` are to be worked out */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__type(key, __u32);
	__type(value, struct verdict);
} verdicts SEC(".maps");

struct condition_set {
	__u64 bits[CONDITION_WORDS];
};

/* All conditions of a generation. */
struct conditions {
	struct condition_set negated;                /* those that hold where their values do not */
	struct condition_set kinds[CONDITION_KINDS];
	__u64 following;                             /* in use of the first word */
	__u32 since[FOLLOWING_MAX];                  /* generation from which on a bit of the first word has its meaning */
	__u32 inner;                                 /* 1: descendants are found by inner pids too */
	__u32 reserved;
};

/* By generation % GENERATIONS_AT_ONCE: programs may still work with the one before. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, GENERATIONS_AT_ONCE);
	__type(key, __u32);
	__type(value, struct conditions);
} conditions SEC(".maps");

/* The present generation; 0: there are no conditions yet. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} generation SEC(".maps");

/* `table`: generation % GENERATIONS_AT_ONCE, times CONDITION_KINDS, plus enum condition_kind. */
struct program_key {
	__u32 bits;
	__u8 table;
	char text[PROGRAM_START];
};

struct program_value {
	__u32 len;
	__u32 reserved;
	struct condition_set begins;  /* a path that begins like this */
	struct condition_set is;      /* a path that is this */
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct program_key);
	__type(value, struct program_value);
} program_starts SEC(".maps");

struct program_end_key {
	__u32 bits;
	__u32 table;
	char text[PROGRAM_END];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct program_end_key);
	__type(value, struct condition_set);
} program_ends SEC(".maps");

struct pid_key {
	__u32 table;
	__u32 pid;
};

/* Filled from user space only. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct pid_key);
	__type(value, struct condition_set);
} condition_pids SEC(".maps");

/* Work space, by slot like `scratch`; user space sets how many. */
struct evaluation {
	struct program_key start;
	struct program_end_key end;
	struct condition_set hits;
	struct condition_set known;   /* conditions of kinds of which the process is known */
	struct condition_set unread;  /* hold because nobody can tell */
	struct verdict verdict;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct evaluation);
} evaluations SEC(".maps");

static __always_inline void conditions_add(struct condition_set *to, const struct condition_set *more)
{
	__u32 w;

	for (w = 0; w < CONDITION_WORDS; w++)
		to->bits[w] |= more->bits[w];
}

static __always_inline __u32 generation_now(void)
{
	__u32 zero = 0, *now = bpf_map_lookup_elem(&generation, &zero);

	return now ? *(volatile __u32 *)now : 0;
}

static __always_inline struct conditions *conditions_of(__u32 of)
{
	__u32 at = of % GENERATIONS_AT_ONCE;

	return bpf_map_lookup_elem(&conditions, &at);
}

static __always_inline __u32 condition_table(__u32 of, enum condition_kind kind)
{
	return of % GENERATIONS_AT_ONCE * CONDITION_KINDS + kind;
}

/* Adds what a process's program fulfils, or its parent's (`kind`). Global, as add_open. */
__noinline int evaluate_program(__u32 slot, __u32 tgid, __u32 of, __u32 kind)
{
	struct evaluation *e = bpf_map_lookup_elem(&evaluations, &slot);
	struct image *image = bpf_map_lookup_elem(&images, &tgid);
	struct conditions *all = conditions_of(of);
	struct condition_set *ends;
	struct program_value *found;
	struct program *program;
	__u32 len;

	if (!e || !image || !all)
		return 0;
	program = kind == CONDITION_PARENT ? &image->parent : &image->program;
	if (!program->known)
		return 0;
	kind = kind == CONDITION_PARENT ? CONDITION_PARENT : CONDITION_PROGRAM;
	conditions_add(&e->known, &all->kinds[kind]);
	if (program->unread) {
		conditions_add(&e->unread, &all->kinds[kind]);
		return 0;
	}
	len = program->len;
	if (!len)
		return 0;
	e->start.table = condition_table(of, kind);
	e->start.bits = 8 * (sizeof(e->start.table) + (len < PROGRAM_START ? len : PROGRAM_START));
	bpf_probe_read_kernel(e->start.text, PROGRAM_START, program->start);
	found = bpf_map_lookup_elem(&program_starts, &e->start);
	if (found) {
		conditions_add(&e->hits, &found->begins);
		if (found->len == len)
			conditions_add(&e->hits, &found->is);
	}
	e->end.table = e->start.table;
	e->end.bits = 8 * (sizeof(e->end.table) + (len < PROGRAM_END ? len : PROGRAM_END));
	bpf_probe_read_kernel(e->end.text, PROGRAM_END, program->end);
	ends = bpf_map_lookup_elem(&program_ends, &e->end);
	if (ends)
		conditions_add(&e->hits, ends);
	return 0;
}

static __always_inline __u32 inner_pid_of(__u32 tgid)
{
	struct image *image = bpf_map_lookup_elem(&images, &tgid);

	return image ? image->inner_pid : 0;
}

static __always_inline void evaluate_pid(struct evaluation *e, __u32 of, enum condition_kind kind, __u32 pid, __u32 from, __u32 to)
{
	struct pid_key key = { .table = condition_table(of, kind), .pid = pid };
	struct condition_set *found = bpf_map_lookup_elem(&condition_pids, &key);
	__u32 w;

	if (!found)
		return;
	for (w = 0; w < CONDITION_WORDS; w++) {
		if (w >= from && w < to)
			e->hits.bits[w] |= found->bits[w];
	}
}

/* Adds what the pid fulfils, and the pids of the ancestors. `tgid` is the present process. Global, as add_open. */
__noinline int evaluate_pids(__u32 slot, __u32 tgid, __u32 of)
{
	struct evaluation *e = bpf_map_lookup_elem(&evaluations, &slot);
	struct conditions *all = conditions_of(of);
	__u64 task = bpf_get_current_task();
	__u32 inner, pid, i;

	if (!e || !all)
		return 0;
	conditions_add(&e->known, &all->kinds[CONDITION_PID]);
	evaluate_pid(e, of, CONDITION_PID, tgid, 0, CONDITION_WORDS);
	if (bpf_map_lookup_elem(&images, &tgid)) {
		conditions_add(&e->known, &all->kinds[CONDITION_INNER_PID]);
		inner = inner_pid_of(tgid);
		evaluate_pid(e, of, CONDITION_INNER_PID, inner ?: tgid, 1, CONDITION_WORDS);
		/* A process of the host has no pid inside: it follows none. */
		if (inner)
			evaluate_pid(e, of, CONDITION_INNER_PID, inner, 0, 1);
	}
	if (!all->following)
		return 0;
	for (i = 0; i < ANCESTORS_MAX; i++) {
		task = (__u64)LOAD(task_struct, task, real_parent);
		if (!task)
			break;
		pid = LOAD(task_struct, task, tgid);
		if (!pid)
			break;
		evaluate_pid(e, of, CONDITION_PID, pid, 0, 1);
		inner = all->inner ? inner_pid_of(pid) : 0;
		if (inner)
			evaluate_pid(e, of, CONDITION_INNER_PID, inner, 0, 1);
	}
	return 0;
}

/* What a process hands down, without conditions of an earlier meaning. */
static __always_inline __u64 still_followed(const struct verdict *before, const struct conditions *all, __u32 of)
{
	__u64 followed = before->followed;
	__u32 i;

	if (before->generation == of || !followed)
		return followed;
	for (i = 0; i < FOLLOWING_MAX; i++) {
		if (all->since[i] > before->generation)
			followed &= ~(1ull << i);
	}
	return followed;
}

/* Works out the conditions of the present process, and keeps them. They are in `evaluations` then. Global, as add_open. */
__noinline int evaluate_process(__u32 slot, __u32 tgid)
{
	struct evaluation *e = bpf_map_lookup_elem(&evaluations, &slot);
	__u32 of = generation_now(), w;
	struct conditions *all = conditions_of(of);
	struct verdict *before;

	if (!e || !all || !of)
		return 0;
	before = bpf_map_lookup_elem(&verdicts, &tgid);
	e->verdict.followed = before ? still_followed(before, all, of) : 0;
	for (w = 0; w < CONDITION_WORDS; w++) {
		e->hits.bits[w] = 0;
		e->known.bits[w] = 0;
		e->unread.bits[w] = 0;
	}
	evaluate_program(slot, tgid, of, CONDITION_PROGRAM);
	evaluate_program(slot, tgid, of, CONDITION_PARENT);
	evaluate_pids(slot, tgid, of);
	e->hits.bits[0] |= e->verdict.followed;
	e->verdict.followed = e->hits.bits[0] & all->following;
	for (w = 0; w < CONDITION_WORDS; w++)
		e->verdict.bits[w] = ((e->hits.bits[w] ^ all->negated.bits[w]) & e->known.bits[w]) | e->unread.bits[w];
	e->verdict.generation = of;
	e->verdict.current = 1;
	/* A process that is not known yet may become so. */
	if (bpf_map_lookup_elem(&images, &tgid))
		bpf_map_update_elem(&verdicts, &tgid, &e->verdict, BPF_ANY);
	return 0;
}

#endif
