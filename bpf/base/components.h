/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_BASE_COMPONENTS_H
#define KTRAIL_BASE_COMPONENTS_H

/*
 * The screen of a path: which selectors may match it, by pointers, lengths and the first or last bytes of names; for a
 * SubString by all bytes of the names. It passes more than the selectors match, never less; whether a path matches is
 * decided by its text (call/text.h).
 *
 * The wanted values are one tree of components. Components that all values begin with are constants: a path without them
 * costs one comparison, with the deepest of them. Where the tree branches, it is a hash of edges, and a call descends it
 * along the path's own components. So the cost depends on how far the path follows a value, not on the number of values.
 */

#include "../vmlinux/kernel.h"
#include "core_fixes.h"
#include "path.h"

enum path_limit {
	PREFIX_PARTS = 7,   /* components that the tree knows of a value */
	SHARED_MAX = 6,     /* components that all values begin with */
	EDGE_OPEN_MAX = 8,  /* bytes compared of an unfinished component */
	EDGE_OPEN = 1 << 31,
	NO_ARG = 0xff,
};

/* The walk must still have a value's components when it reads the next one. */
_Static_assert(TOP_MAX > PREFIX_PARTS, "base/path.h remembers fewer dentries than the tree has levels");

/* One component below a node of the tree, by its first 8 bytes and its length. */
struct edge {
	__u64 word;  /* first bytes, the rest zero; of a path's end: the last bytes */
	__u32 node;
	__u32 len;   /* EDGE_OPEN | n: the name begins (of a path's end: ends) with these n bytes */
};

/* The end of an edge. */
struct node {
	__u32 id;      /* 0: no edge begins here */
	__u32 here;   /* set of selectors that may match a path that ends here */
	__u32 below;  /* set of selectors that may match a path that goes on */
	__u32 open;   /* bit n - 1: edges for the first n bytes of the next component */
};

MAP(HASH, edges, struct edge, struct node, 1);

/* A component that every value begins with. */
struct shared_component {
	__u64 word;  /* as of an edge */
	__u64 mask;  /* bytes of the word that are part of the name */
	__u32 len;
	__u32 reserved;
};

struct path_screen {
	__u64 first[2];   /* bits of the components with which an edge begins at `root` (may_begin). All bits: only the tree decides */
	__u8 param;       /* the parameter that is screened; NO_ARG: none */
	__u8 type;        /* enum arg_type that is_file */
	__u16 suffix_open; /* as node.open, for ends of the last component */
	__u32 suffix;     /* node id of the ends */
	__u32 suffixes;   /* set of the selectors with a Postfix */
	__u32 all;        /* set of the selectors with a filter on this path */
	__u32 others;     /* set of the other selectors, which no path rejects */
	__u32 parts;      /* set of the selectors with a SubString */
	__u32 automaton;  /* row of `automata` where the search for all their values begins */
	struct node root; /* the node where the tree branches, or its only value ends */
	__u32 nshared;    /* number of components that all values begin with: from / to `root` */
	struct shared_component shared[SHARED_MAX]; /* those components, the deepest first */
};

/* The first n bytes of a word. */
static __always_inline __u64 first_of(__u64 word, __u32 n)
{
	return n >= 8 ? word : word & ((1ull << (8 * n)) - 1);
}

/* Whether an edge may begin at the root with this component: of ten edges, one of 40 other components passes, and then costs a look-up. */
static __always_inline bool may_begin(const volatile struct path_screen *wanted, __u64 word, const __u32 *len)
{
	word = (word + *len) * 0x9e3779b97f4a7c15ull;
	return wanted->first[0] >> (word >> 58) & wanted->first[1] >> (word >> 52 & 63) & 1;
}

/* A component as the tree has it. */
static __always_inline __u64 component_of(struct dentry *dentry, __u32 *len)
{
	*len = FIELD(dentry, d_name.len);
	return first_of(bytes_at((__u64)FIELD(dentry, d_name.name)), *len);
}

/* Whether a name is this one, as far as the tree knows names. Most others have another length. */
static __always_inline bool is_shared(struct dentry *dentry, const volatile struct shared_component *shared)
{
	if (FIELD(dentry, d_name.len) != shared->len)
		return false;
	return (bytes_at((__u64)FIELD(dentry, d_name.name)) & shared->mask) == shared->word;
}

#endif
