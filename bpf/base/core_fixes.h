/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_BASE_CORE_FIXES_H
#define KTRAIL_BASE_CORE_FIXES_H

/*
 * Only the differences between kernels. The same sources are built several times: README.md has the objects and when each is loaded.
 */

#include "../vmlinux/kernel.h"

#ifdef KTRAIL_TYPED
/* Since 6.2. */
extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym;

/* The numbers of structs in the kernel's BTF. The addon sets them by their names, because libbpf sees types with other numbers. */
#define NUMBERED(type) const volatile __u32 number_of_##type = 0;
NUMBERED(cgroup) NUMBERED(cgroup_namespace) NUMBERED(cgroup_root) NUMBERED(cgroup_subsys_state) NUMBERED(cred)
NUMBERED(css_set) NUMBERED(dentry) NUMBERED(fdtable) NUMBERED(file) NUMBERED(filename) NUMBERED(files_struct)
NUMBERED(fs_struct) NUMBERED(inode) NUMBERED(iov_iter) NUMBERED(iov_iter___before_5_14)
NUMBERED(iov_iter___before_6_4) NUMBERED(ipc_namespace) NUMBERED(kernfs_iattrs) NUMBERED(kernfs_node) NUMBERED(kiocb)
NUMBERED(linux_binprm) NUMBERED(mm_struct) NUMBERED(mnt_namespace) NUMBERED(mount) NUMBERED(net) NUMBERED(nsproxy)
NUMBERED(path) NUMBERED(pid) NUMBERED(pid_namespace) NUMBERED(pt_regs) NUMBERED(qstr) NUMBERED(seqcount)
NUMBERED(sk_buff) NUMBERED(sock) NUMBERED(socket) NUMBERED(super_block) NUMBERED(task_struct) NUMBERED(time_namespace)
NUMBERED(upid) NUMBERED(user_namespace) NUMBERED(user_pt_regs) NUMBERED(uts_namespace)

/* The struct at an address held as a number, of which several fields are read. */
#define TYPED(type, address) ((struct type *)bpf_rdonly_cast((void *)(__u64)(address), number_of_##type))
/* A load that faults gives 0. */
#define FIELD(typed, field) ((typed)->field)
#else
#define TYPED(type, address) ((struct type *)(__u64)(address))
#define FIELD(typed, field) BPF_CORE_READ(typed, field)
#endif
#define CAST(type, address) ((__u64)TYPED(type, address))
/* The field of the struct at an address held as a number. */
#define LOAD(type, address, field)                                     \
	({                                                             \
		const struct type *at_address = TYPED(type, address);  \
		FIELD(at_address, field);                              \
	})

/*
 * A pointer that the verifier also treats as one. It treats a sum with a pointer from memory as a number, but functions that it checks separately
 * require pointers. Copying the pointer by a helper takes 80 instructions.
 */
static __always_inline __u64 as_number(const void *pointer)
{
	__u64 number = 0;

	__sync_fetch_and_add(&number, (__u64)pointer);
	return number;
}

/* Returns `number`, which a processor can use only after it has read `earlier`. Otherwise arm64 may look up or write before that read. */
static __always_inline __u64 number_after(__u64 number, __u64 earlier)
{
	asm volatile("%0 ^= %1\n%0 ^= %1" : "+r"(number) : "r"(earlier));
	return number;
}

/* Address of a member inside the struct at `address`, and back. */
#define MEMBER(type, address, field) ((__u64)(address) + bpf_core_field_offset(struct type, field))
#define CONTAINER(type, address, field) ((__u64)(address) - bpf_core_field_offset(struct type, field))

/*
 * LOOP calls step(slot) until it returns a value other than 0, at most `rounds` times; LOOP_STEP makes a function such a step. STEP is one round.
 * Without bpf_loop (5.17) the verifier follows every round, up to 8,192 (kernel/bpf/verifier.c
 * BPF_COMPLEXITY_LIMIT_JMP_SEQ). There a step is a global function, so that the verifier only follows a call in each round.
 */
#ifdef KTRAIL_BOUNDED
#define LOOP_STEP(step) \
	__noinline int step##_round(__u32 slot) { return step(slot); }
#define STEP(step, slot) step##_round(slot)
#define LOOP(rounds, step, slot)                                   \
	({                                                         \
		__u32 round;                                       \
		_Pragma("nounroll")                                \
		for (round = 0; round < (rounds); round++) {       \
			if (step##_round(slot))                    \
				break;                             \
		}                                                  \
	})
#else
#define LOOP_STEP(step) \
	static __noinline long step##_round(__u32 index, __u32 *slot) { return step(*slot); }
#define STEP(step, slot)                                           \
	({                                                         \
		__u32 of_slot = slot;                              \
		step##_round(0, &of_slot);                         \
	})
#define LOOP(rounds, step, slot)                                   \
	({                                                         \
		__u32 of_slot = slot;                              \
		bpf_loop(rounds, step##_round, &of_slot, 0);       \
	})
#endif

/*
 * GOES_ON is part of a loop's condition: true for the first eight million rounds. With it the verifier follows the loop only until its states repeat,
 * not in each round. The counter of the rounds starts at ROUNDS_FROM or `unknown_zero` (base/path.h), else no state repeats. It takes four instructions.
 * Since 6.9 (kernel commit 011832b97b31). clang 16 has no name for it: BPF_JMP | BPF_JCOND, with the offset of `ends`.
 */
#if defined(KTRAIL_SESSION) || defined(KTRAIL_SESSION_CTX)
#define GOES_ON                                                                                          \
	({                                                                                               \
		__label__ ends, checked;                                                                 \
		bool goes_on = true;                                                                     \
		asm volatile goto("1: .byte 0xe5, 0; .long ((%l[ends] - 1b - 8) / 8) & 0xffff; .short 0" \
				  : : : : ends);                                                         \
		goto checked;                                                                            \
	ends:                                                                                            \
		goes_on = false;                                                                         \
	checked:                                                                                         \
		goes_on;                                                                                 \
	})
#define ROUNDS_FROM(first) ((first) + unknown_zero)
#else
#define GOES_ON true
#define ROUNDS_FROM(first) (first)
#endif

/*
 * The next number of a per-CPU counter. Before 5.12 an atomic addition does not return the earlier value, so a program that interrupts this one may
 * get the same number. Both are counted, so the total stays right.
 */
static __always_inline __u64 next_number(__u64 *counter)
{
#ifdef KTRAIL_BOUNDED
	__u64 number = *(volatile __u64 *)counter;

	__sync_fetch_and_add(counter, 1);
	return number;
#else
	return __sync_fetch_and_add(counter, 1);
#endif
}

/*
 * A dentry of an inode. Before 6.8 (kernel commit def3ae83da02) a file that an overlay opens in a layer has the overlay's path. Its inode
 * is not the one of its dentry.
 */
static __always_inline __u64 dentry_of(__u64 inode)
{
	__u64 alias;

	if (!inode || !bpf_core_field_exists(struct dentry, d_u.d_alias))
		return 0;
	alias = (__u64)LOAD(inode, inode, i_dentry.first);
	return alias ? CONTAINER(dentry, alias, d_u.d_alias) : 0;
}

/* Kind of a struct iov_iter. Before 5.14 (kernel commit 8cd54c1c8480) it shared a word with the direction. */
enum iter_kind {
	ITER_OTHER,  /* pages, for instance: their bytes have no address */
	ITER_BUFFER,
	ITER_PARTS,
};

static __always_inline enum iter_kind iter_kind_of(__u64 iter)
{
	__u32 kind;

	if (bpf_core_field_exists(struct iov_iter, iter_type))
		kind = LOAD(iov_iter, iter, iter_type);
	else
		kind = LOAD(iov_iter___before_5_14, iter, type) & ~1u;
	if (bpf_core_enum_value_exists(enum iter_type, ITER_UBUF)) {
		if (kind == bpf_core_enum_value(enum iter_type, ITER_UBUF))
			return ITER_BUFFER;
	}
	if (kind == bpf_core_enum_value(enum iter_type, ITER_IOVEC) || kind == bpf_core_enum_value(enum iter_type, ITER_KVEC))
		return ITER_PARTS;
	return ITER_OTHER;
}

static __always_inline __u64 iter_parts(__u64 iter)
{
	if (bpf_core_field_exists(struct iov_iter, __iov))
		return (__u64)LOAD(iov_iter, iter, __iov);
	return (__u64)LOAD(iov_iter___before_6_4, iter, iov);
}

static __always_inline __u64 iter_buffer(__u64 iter)
{
	return bpf_core_field_exists(struct iov_iter, ubuf) ? (__u64)LOAD(iov_iter, iter, ubuf) : 0;
}

/*
 * Since 6.10. Without an argument in 6.12, with the context in 7.3. Objects for older kernels do not name them, not even weakly, because libbpf
 * would search them in modules, which needs CAP_SYS_ADMIN.
 */
#ifdef KTRAIL_SESSION_CTX
extern bool bpf_session_is_return(void *ctx) __ksym __weak;
extern __u64 *bpf_session_cookie(void *ctx) __ksym __weak;
#define SESSION_IS_RETURN(ctx) bpf_session_is_return(ctx)
#define SESSION_COOKIE(ctx) bpf_session_cookie(ctx)
#elif defined(KTRAIL_SESSION)
extern bool bpf_session_is_return(void) __ksym __weak;
extern __u64 *bpf_session_cookie(void) __ksym __weak;
#define SESSION_IS_RETURN(ctx) bpf_session_is_return()
#define SESSION_COOKIE(ctx) bpf_session_cookie()
#endif

#endif
