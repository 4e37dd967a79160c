/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_EVENT_H
#define KTRAIL_EVENT_H

/*
 * The one contract between kernel and user space: the layout of ring records. collector/wire/wire.ts is made of it,
 * through the BTF of layout.bpf.o. Little endian, naturally aligned, no implicit padding.
 *
 *   struct event_header | body by type
 *
 *   EVENT_EXEC  struct exec_body  | cgroup names | filename | cwd | path | argv bytes
 *   EVENT_FORK, EVENT_MOVE  struct fork_body | cgroup names
 *   EVENT_EXIT  struct exit_body
 *   EVENT_CGROUP  struct cgroup_body | cgroup names, its own first
 *   EVENT_HOOK  nargs x (struct value | payload, padded to 8)
 *   EVENT_RETURN  struct return_body
 *   EVENT_DATA  struct data_body | bytes, before the EVENT_EXEC with the same tgid and start_ns
 */

#include "vmlinux/kernel.h"

enum event_type {
	EVENT_EXEC = 1,
	EVENT_FORK = 2,
	EVENT_EXIT = 3,
	EVENT_HOOK = 4,
	EVENT_RETURN = 5,
	EVENT_MOVE = 6, /* a process moved to another cgroup */
	EVENT_CGROUP = 7, /* a cgroup was made or removed */
	EVENT_DATA = 8, /* the part of an exec that has no room in its record */
};

struct event_header {
	__u32 size;       /* whole record in bytes */
	__u8 type;        /* enum event_type */
	__u8 nargs;       /* EVENT_HOOK: values that follow */
	__u16 cpu;
	__u64 seq;        /* per CPU, from 0; a record that the ring refuses has a number too */
	__u32 time_sec;   /* CLOCK_BOOTTIME, seconds and nanoseconds apart so that user */
	__u32 time_nsec;  /* space never needs 64-bit arithmetic per event */
	__u32 tgid;
	__u32 tid;
	__u64 start_ns;   /* process key: boot time of the fork or exec that made this image; 0 = unknown */
	__u32 hook_id;    /* EVENT_HOOK: number given by user space, never reused */
	__u16 selector;   /* EVENT_HOOK: index of the selector that matched */
	__u16 flags;      /* EVENT_HOOK, EVENT_RETURN: enum hook_flag */
	__u32 uid;        /* EVENT_HOOK: effective user of the thread, as the host sees it */
	__u32 reserved;
};

enum hook_flag {
	HOOK_HAS_RETURN = 1,      /* the last value is the return value */
	HOOK_RETURN_FOLLOWS = 2,  /* the last value is the number of the call, and an EVENT_RETURN will have it too */
	HOOK_RETURN_MISSED = 4,   /* no return will be seen */
	HOOK_NOT_ACTED = 8,       /* an action of the selector was not carried out */
	HOOK_RETURN_KEPT = 16,    /* with HOOK_RETURN_FOLLOWS: until then the call is in the map `join` */
	HOOK_AGGREGATES = 32,     /* further calls are only counted; a value with AGGREGATE_INDEX has their hash */
	HOOK_RETURN_PENDING = 64, /* with HOOK_RETURN_FOLLOWS: until then the call is in the table `pending` */
};

/* Payload of a value, which follows the 8-byte header. */
enum value_kind {
	VALUE_INT = 1,     /* __s64, sign-extended from the declared width */
	VALUE_UINT = 2,    /* __u64 */
	VALUE_STRING = 3,  /* struct text_key | bytes */
	VALUE_FILE = 4,    /* struct file_info | struct text_key | bytes | with VALUE_DETAILS, padded to 8: struct file_details */
	VALUE_ERROR = 5,   /* nothing: the argument could not be read */
	VALUE_SOCKET = 6,  /* struct socket_info */
	VALUE_OBJECT = 7,  /* struct object_info | members, where its type has them */
	VALUE_BYTES = 8,   /* struct text_key | bytes, padded to 8 | __u64: how many there were */
	VALUE_STACK = 9,   /* addresses of code, 8 bytes each, of the innermost function first */
};

struct value {
	__u16 len;    /* bytes of text (STRING, FILE, BYTES) or of what follows; 0 for ERROR */
	__u16 places; /* number of the places by which it was found (args/place.h); 0: it is the parameter itself */
	__u8 kind;    /* enum value_kind */
	__u8 index;   /* parameter | enum arg_type << VALUE_TYPE_SHIFT, or a name of enum value_index */
	__u16 flags;  /* enum value_flag; of ERROR the position, from 1, of the pointer that led nowhere */
};

enum value_index {
	RETURN_INDEX = 255,
	AGGREGATE_INDEX = 254,
	KERNEL_STACK_INDEX = 253,
	USER_STACK_INDEX = 252,
	VALUE_TYPE_SHIFT = 3,
};

enum value_flag {
	VALUE_UNRESOLVED = 1,  /* path: leading components missing (too long, too deep) */
	VALUE_DELETED = 2,     /* path: unlinked; " (deleted)" is part of the text */
	VALUE_TRUNCATED = 4,   /* string: longer than the buffer */
	VALUE_UNSTABLE = 8,    /* path: renamed in every try; the text may be of two moments. Bytes: some could not be read */
	VALUE_DETAILS = 16,    /* file: struct file_details is behind the text */
};

struct file_info {
	__u64 ino;
	__u32 dev;   /* super block's s_dev, kernel encoding (major << 20 | minor) */
	__u32 mode;  /* i_mode */
};

enum file_limit {
	NAMED_MAX = 4,  /* paths of policies that match one file */
};

enum detail_flag {
	DETAIL_DETACHED = 1,  /* its mount is in no mount namespace, or in an anonymous one */
	DETAIL_OVERLAY = 2,   /* it is on an overlay, and `real_ino` and `real_dev` are known */
	DETAIL_UPPER = 4,     /* it is on an overlay, in the upper layer */
};

/* Details of a file, for hooks with fileDetails. Unknown values are 0. */
struct file_details {
	__u64 size;
	__s64 changed_sec;   /* ctime of the inode */
	__u32 changed_nsec;
	__u32 generation;
	__u32 links;
	__u32 mount_id;      /* as in /proc/PID/mountinfo */
	__u64 real_ino;      /* inode with the content of an overlay's file */
	__u32 real_dev;
	__u32 flags;         /* enum detail_flag */
	__u32 named[NAMED_MAX];  /* numbers of the policies' paths that it was found by (frame/identity.h) */
};

/* Data of a sock, socket, sk_buff or sockaddr; members that it does not have are 0. A sockaddr has only saddr and sport. */
struct socket_info {
	__u64 object;    /* address of the sock: the same for all calls on it */
	__u32 saddr[4];  /* as on the wire; IPv4 uses only the first */
	__u32 daddr[4];
	__u16 family;
	__u16 type;
	__u16 protocol;
	__u16 state;
	__u16 sport;
	__u16 dport;
	__u32 mark;
	__u32 priority;
	__u32 hash;      /* hash of a sk_buff */
	__u32 len;
	__u32 reserved;
};

/* Members of a struct of the kernel. Unreadable members are 0. */
struct object_info {
	__u64 failed;  /* bit n: member n could not be read */
};

/* The start of a key of the prefix tries, laid before each text so that the record is the key. */
struct text_key {
	__u32 bits;
	__u32 filter;
};

/*
 * Data for the optional fields of a process; all zero unless they are requested (process/detail.h). Ids as the host sees them.
 */
struct process_detail {
	__u64 permitted;
	__u64 effective;
	__u64 inheritable;
	__u32 uid;
	__u32 gid;
	__u32 euid;
	__u32 egid;
	__u32 suid;
	__u32 sgid;
	__u32 fsuid;
	__u32 fsgid;
	__u32 securebits;
	__u32 user_ns_level;
	__u32 user_ns_uid;
	__u32 user_ns_gid;
	__u32 namespaces[10]; /* by enum task_namespace: inode numbers */
};

/* Body of EVENT_EXEC. */
struct exec_body {
	__u64 parent_start_ns;
	__u32 parent_tgid;
	__u32 euid;
	__u32 auid;
	__u32 flags;     /* enum process_flag */
	__u32 nspid;     /* pid inside its namespace; 0 when it is the host's */
	__u32 argc;
	__u64 cgroup_id;
	struct process_detail detail;
	__u16 filename_len;
	__u16 cwd_len;
	__u16 cgroup_len;
	__u16 path_len;    /* bytes of the path to which the kernel resolved `filename`; 0: the whole path is not known */
	__u32 argv_len;    /* bytes of argv[0..], each with its NUL, possibly cut */
	__u32 argv_total;  /* bytes of the whole argv; the rest is in EVENT_DATA, as far as it was sent */
	__u64 file_ino;    /* inode of that file; 0: not known */
	__u32 file_links;  /* 0: deleted, or never had a name (memfd) */
	__u16 cgroup_state; /* enum cgroup_state */
	__u16 raised;      /* enum raised */
	__u32 env_total;   /* bytes of the environment, if it is recorded: all of them are in EVENT_DATA */
	__u32 reserved;
};

/* Changes of a process's privileges by the file of its exec. */
enum raised {
	RAISED_SETUID = 1,
	RAISED_SETGID = 2,
	RAISED_FILE_CAPABILITIES = 4,
	RAISED_SETUID_ROOT = 8,
	RAISED_SETGID_ROOT = 16,
};

enum data_of {
	DATA_ARGV = 1,  /* `at`: from the end of the exec record's argv */
	DATA_ENV = 2,
};

/* EVENT_DATA. The records of an exec are in order; one that the ring refused, and all behind it, are missing. */
struct data_body {
	__u32 of;  /* enum data_of */
	__u32 at;  /* offset of its first byte */
};

/* Completeness of the names of cgroups in a record: process/cgroup.h. */
enum cgroup_state {
	CGROUP_KEPT = 0,   /* no names are sent: the cgroup is still the parent's */
	CGROUP_WHOLE = 1,  /* all names that can be of a container */
	CGROUP_CUT = 2,    /* there are more names, further from the process */
};

/* Same bits as Tetragon prints (docs/reference/records/process.md); the words: collector/wire/flags.ts. */
enum process_flag {
	PROCESS_EXECVE = 0x1,
	PROCESS_PROCFS = 0x4,
	PROCESS_ERROR_ENVS = 0x8, /* set by user space, which counts the bytes that arrived */
	PROCESS_TRUNC_ARGS = 0x10,
	PROCESS_MISS = 0x40,
	PROCESS_ERROR_FILENAME = 0x100,
	PROCESS_ERROR_ARGS = 0x200,
	PROCESS_NO_CWD = 0x800,
	PROCESS_ROOT_CWD = 0x1000,
	PROCESS_ERROR_CWD = 0x2000,
	PROCESS_CLONE = 0x4000,
	PROCESS_ERROR_CGROUP_NAME = 0x10000,
	PROCESS_ERROR_PATH_CWD = 0x400000,
	PROCESS_DATA_FILENAME = 0x800000,
	PROCESS_DATA_ARGS = 0x1000000,
};

/* Longer ones Tetragon sends apart from its exec record, and sets a flag. */
enum tetragon_limit {
	TETRAGON_FILENAME = 255,
	TETRAGON_TEXTS = 960,  /* file name and arguments */
};

/* EVENT_MOVE has no parent. */
struct fork_body {
	__u64 parent_start_ns;
	__u32 parent_tgid;
	__u32 nspid;
	__u64 cgroup_id;
	__u16 cgroup_len;
	__u16 cgroup_state;
	__u32 reserved;
};

/* EVENT_CGROUP. An id as in the other bodies. */
struct cgroup_body {
	__u64 id;
	__u16 names_len;
	__u16 names_state;  /* enum cgroup_state */
	__u32 gone;         /* 1: the cgroup was removed, and names are not sent */
};

struct exit_body {
	__u32 code;  /* wait status: signal | 0x80 core | status << 8 */
	__u32 reserved;
};

/* EVENT_RETURN: the end of a call whose records have HOOK_RETURN_FOLLOWS. The header has their time and their thread. */
struct return_body {
	__u64 call;
	__u64 returned;  /* as in the register; 0 with HOOK_RETURN_MISSED */
};

/* Every way for the kernel side to lose something or fall back; one per-CPU array, one enum. */
enum counter {
	COUNTER_RING_FULL_HOOK,     /* a hook's record that the ring refused */
	COUNTER_RING_FULL_PROCESS,  /* an exec, fork or exit record that the ring refused */
	COUNTER_RETURN_MISSED,      /* a text could not be read at the entry, and the return was never seen, or there was no room to wait for it */
	COUNTER_PROCESS_MAP_FULL,   /* a process for which the table had no room */
	COUNTER_PATH_RACED,         /* a path walked more than once because of a rename or mount */
	COUNTER_PATH_UNSTABLE,      /* a path still racing after the last try: it passes every filter, marked */
	COUNTER_PATH_TOO_DEEP,      /* a path with more components than the walk may take: its leading ones are missing */
	COUNTER_JOIN_FULL,          /* a call for which the join map had no room: it is reported without a return value */
	COUNTER_RING_FULL_RETURN,   /* an EVENT_RETURN that the ring refused: user space finds the return value in the join map */
	COUNTER_IMAGE_MISSED,       /* a process without an image or with an old one: its program was found at its call */
	COUNTER_PROGRAM_UNKNOWN,    /* a process whose program could not be found: its calls pass every filter on programs */
	COUNTER_WORKLOAD_UNKNOWN,   /* a call of a task whose pod or container was not known yet: no policy with such a condition sees it */
	COUNTER_AGGREGATES_FULL,    /* a call that found no room in the map for its aggregate: it is reported by itself */
	COUNTER_MAX,
};

#endif
