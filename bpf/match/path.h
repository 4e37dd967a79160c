/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_MATCH_PATH_H
#define KTRAIL_MATCH_PATH_H

/*
 * The first pass over the path that all selectors of a hook ask for: by pointers, lengths and the first or last bytes of
 * names. It rejects; whether a path matches is decided by its text (match/text.h).
 */

enum path_limit {
	PREFIXES_MAX = 8,
	PREFIX_PARTS = 7,
	SUFFIXES_MAX = 8,
	NO_ARG = 0xff,
};

/* The walk must still know a prefix's components when it has the one behind them. */
_Static_assert(TOP_MAX > PREFIX_PARTS, "path.h remembers fewer dentries than a prefix has parts");

/* One path component to compare by its length and first bytes. */
struct part {
	__u64 word;  /* first 8 bytes, the rest zero */
	__u64 mask;
	__u32 len;
	__u32 open;   /* 1: the name may go on */
};

/* The beginning of a wanted path, for the first pass. */
struct prefix {
	__u16 parts;
	__u16 depth_min;
	__u32 depth_max;
	struct part part[PREFIX_PARTS];
};

/* The end of a wanted path: the last component, compared from its end. */
struct suffix {
	__u64 word;  /* last 8 bytes, in its upper end */
	__u64 mask;
	__u32 len;
	__u32 exact;  /* 1: the component is exactly this long */
};

struct path_screen {
	__u8 arg;     /* position in hook.args of the path that prefixes and suffixes screen; NO_ARG: none */
	__u8 nprefixes;
	__u8 nsuffixes;
	__u8 reserved[5];
	struct prefix prefixes[PREFIXES_MAX];
	struct suffix suffixes[SUFFIXES_MAX];
};

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

static __always_inline bool prefix_matches(const volatile struct prefix *prefix, const struct top *top, const __u64 *ring)
{
	__u32 i;

	if (top->depth < prefix->depth_min || top->depth > prefix->depth_max)
		return false;
	for (i = 0; i < PREFIX_PARTS; i++) {
		if (i >= prefix->parts)
			break;
		if (!part_matches(&prefix->part[i], ring[(top->depth - 1 - i) & (TOP_MAX - 1)]))
			return false;
	}
	return true;
}

static __always_inline bool suffix_matches(const volatile struct suffix *suffix, __u64 leaf)
{
	__u32 len = LOAD(dentry, leaf, d_name.len);
	__u64 name = (__u64)LOAD(dentry, leaf, d_name.name);
	__u64 bytes;

	if (suffix->exact ? len != suffix->len : len < suffix->len)
		return false;
	/* A name shorter than the word is read from its start and moved up, never from before its start. */
	bytes = len >= 8 ? bytes_at(name + len - 8) : len ? bytes_at(name) << (64 - 8 * len) : 0;
	return ((bytes ^ suffix->word) & suffix->mask) == 0;
}

/*
 * First pass over the path that all selectors ask for: false only when none of their values can match.
 * `top` is left for the second pass.
 */
static __always_inline bool screen(const volatile struct path_screen *wanted, struct place at, struct place root, __u64 *ring,
				   struct top *top)
{
	__u32 i;

	*top = walk_top(at, root, ring);
	if (!top->whole)
		return true;
	if (top->depth == 0)
		return false;
	for (i = 0; i < PREFIXES_MAX; i++) {
		if (i >= wanted->nprefixes)
			break;
		if (prefix_matches(&wanted->prefixes[i], top, ring))
			return true;
	}
	/* Where the file is the root of a mount (a single file bound over another), its name is the mount point's. */
	if (wanted->nsuffixes && at.dentry == (__u64)LOAD(mount, at.mount, mnt.mnt_root))
		return true;
	for (i = 0; i < SUFFIXES_MAX; i++) {
		if (i >= wanted->nsuffixes)
			break;
		if (suffix_matches(&wanted->suffixes[i], at.dentry))
			return true;
	}
	return false;
}

#endif
