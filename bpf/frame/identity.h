/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_FRAME_IDENTITY_H
#define KTRAIL_FRAME_IDENTITY_H

/*
 * Filters on the identity of a file, whatever its path: SameFile, UnderDir.
 *
 * A file is below a folder when one of its d_parent is that folder. These never leave the file system and know no mounts and
 * no root, so bind mounts, other mount namespaces, chroot and detached mounts change nothing. They miss further
 * hard links outside the folder: such files are in `linked`, which is looked up only for files with more than one link.
 *
 * `left_files` has the files and folders that a rename moved out of a folder of a sticky filter, with all below them.
 *
 * `gone_files` has the files that lost their last name: overlayfs and FUSE give all files one generation, so that the next file with the number
 * would match. Until user space has resolved the paths anew, it matches by its name alone.
 *
 * The walk is in above.h, the look-ups are in identities.h. User space keeps `identities` and `identity_names` (collector/kernel/files/); files.bpf.c and
 * user space add to `linked`.
 */

#include "../vmlinux/kernel.h"
#include "../event.h"

enum identity_limit {
	IDENTITY_FILTERS_MAX = 64,  /* sets of paths in all policies, one bit each */
	IDENTITY_WORDS = 4,
	IDENTITY_HOPS = 64,     /* budget of the first walk; the exact one has TEXT_HOPS */
	IDENTITY_NAME_BYTES = 256,
	NO_ROUND = 0,           /* rounds begin with 1 */
	FILES_MAX = 2,          /* arguments of a function with such filters */
};

/* Results of file_identify. */
enum identify_result {
	IDENTIFIED_NOTHING,  /* the agent has no such file open */
	IDENTIFIED_FILE,
	IDENTIFIED_UNKEPT,   /* `linked` had no room for it */
};

/* 1: policies of this object have such filters. */
const volatile __u32 asks_files = 0;

/* 1: a policy of this object keeps files that leave its folders (`sticky`). Otherwise its code is removed before a load. */
const volatile __u32 asks_sticky = 0;

struct identity {
	__u64 ino;
	__u32 dev;         /* super block's s_dev: stat shows another one on btrfs and overlayfs */
	__u32 generation;  /* differs from that of an earlier file with the same number */
};

/* Data of a file that the agent requests (files.bpf.c). */
struct identified {
	struct identity identity;
	__u32 links;
	__u32 mode;
};

struct identity_filters {
	__u64 own;    /* SameFile: the file itself */
	__u64 below;  /* UnderDir: the folder, and all below it */
	__u32 named;  /* number of the path in a policy; 0: in none */
	__u32 reserved;
};

/* Filters by a name in a folder: a file that is replaced, or made later, matches from its start. */
struct identity_name {
	struct identity folder;
	char name[IDENTITY_NAME_BYTES];  /* the rest zero */
};

/* Filters for a file with several links of which one is below a folder. */
struct linked_filters {
	__u64 filters;  /* bits are only added; user space replaces the entry to remove some */
	__u64 round;  /* the last round that found it; user space removes entries of earlier rounds */
	__u32 named[NAMED_MAX];  /* numbers of the paths of such folders; 0: no more */
};

/* Sets of hashes that reject nearly every file. One for all functions; only user space writes it. */
struct identity_screen {
	__u64 devices;
	__u64 files[IDENTITY_WORDS];    /* numbers in `identities` */
	__u64 folders[IDENTITY_WORDS];  /* numbers in `identity_names` */
	__u64 unknown;  /* filters for which `linked` had no room: files with several links match them, marked */
	__u64 round;    /* number of the last search for links */
	__u64 sticky;   /* filters that still match files moved out of their folders */
};

/* News from the programs of files.bpf.c for user space. */
struct linked_news {
	__u64 unknown;  /* as above */
	__u64 moved;    /* renames and links after which user space must search for links again */
	__u64 kept;     /* links and renames that added to `linked` */
	__u64 left[IDENTITY_WORDS];  /* numbers that are or were in `left_files`, as in struct identity_screen */
	__u64 gone[IDENTITY_WORDS];  /* the same of `gone_files` */
};

/* One walk, from a file upwards. */
struct file_walk {
	__u64 dentry;  /* dentry of the file */
	__u64 at;      /* a dentry on the way */
	__u64 inode;   /* inode to look up: pointers cannot be arguments of global functions */
	__u64 hits;    /* filters that match */
	__u64 trace;   /* as in struct text_walk */
	__u32 moving;
	__u32 done;
	__u32 flags;   /* enum value_flag: doubts about `hits` */
	__u32 own;     /* 1: `at` is the dentry of the file */
	__u32 named[NAMED_MAX];  /* numbers of the paths of `hits`, the nearest to the file first; 0: no more. Further ones are left out */
	struct identity_name key;
};

/* A file argument of a function that is checked before other filters. */
struct file_screen {
	__u64 wanted;  /* filters of all selectors */
	__u8 param;    /* parameter of the file; NO_ARG: no filter */
	__u8 type;
	__u16 places;  /* as in struct wanted_value, and so is `place` */
	__u32 others;  /* set of the selectors without a filter on this file */
	__u32 place;
	__u32 reserved;
};

#endif
