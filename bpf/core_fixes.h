/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_CORE_FIXES_H
#define KTRAIL_CORE_FIXES_H

/*
 * What differs between kernels, and nothing else. The same sources are built several times (Makefile):
 *
 *   hook.typed.bpf.o      KTRAIL_TYPED                       6.2 and later: loads through typed pointers
 *   hook.typed_ctx.bpf.o  KTRAIL_TYPED, KTRAIL_SESSION_CTX   the session kfuncs take the context (7.x)
 *   hook.probe.bpf.o                                         before 6.2: bpf_probe_read_kernel
 *   hook.bounded.bpf.o    KTRAIL_BOUNDED                     before 5.17: loops that the verifier walks round by round
 *   process.bpf.o, process.bounded.bpf.o                     likewise; they load by bpf_probe_read_kernel everywhere
 *
 * Which one a kernel takes is decided by what its BTF offers (collector/kernel/objects.ts), not by its version.
 */

#ifdef KTRAIL_TYPED
/* Since 6.2. */
extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym;

#define TYPED(type, address) \
	((struct type *)bpf_rdonly_cast((void *)(__u64)(address), bpf_core_type_id_kernel(struct type)))
/* The field of the struct at an address held as a number. A load that faults gives 0. */
#define LOAD(type, address, field) (TYPED(type, address)->field)
#define CAST(type, address) ((__u64)TYPED(type, address))
#else
#define CAST(type, address) ((__u64)(address))
#define LOAD(type, address, field)                                     \
	({                                                             \
		const struct type *typed = (void *)(__u64)(address);   \
		BPF_CORE_READ(typed, field);                           \
	})
#endif

/* Address of a member inside the struct at `address`, and back. */
#define MEMBER(type, address, field) ((__u64)(address) + bpf_core_field_offset(struct type, field))
#define CONTAINER(type, address, field) ((__u64)(address) - bpf_core_field_offset(struct type, field))

/*
 * Calls step(index, state) until it answers other than 0, at most `rounds` times. Without bpf_loop (5.17) the verifier
 * follows every round: a million instructions in all, and 8,192 branches that wait to be looked at
 * (kernel/bpf/verifier.c BPF_COMPLEXITY_LIMIT_JMP_SEQ). So `rounds` must be small there, and the steps short.
 */
#ifdef KTRAIL_BOUNDED
#define LOOP(rounds, step, state)                                  \
	({                                                         \
		__u32 round;                                       \
		_Pragma("nounroll")                                \
		for (round = 0; round < (rounds); round++) {       \
			if (step(round, state))                    \
				break;                             \
		}                                                  \
	})
#else
#define LOOP(rounds, step, state) bpf_loop(rounds, step, state, 0)
#endif

/*
 * The next number of a per-CPU counter. Before 5.12 an atomic addition does not return what was there: a program that
 * interrupts this one may then get the same number. Both are counted, so the total stays right.
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

#ifdef KTRAIL_BOUNDED
/* The load has an offset of its own for each word: a computed one is refused (check_ctx_reg). */
#define CONTEXT_WORD(n)                                                                              \
	case n:                                                                                      \
		asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(word) : "r"(ctx), "i"(8 * (n)));        \
		break

/* A fexit program's context: the arguments of the function, then its return value. `n` must be known to the verifier. */
static __always_inline __u64 context_word(const void *ctx, __u32 n)
{
	__u64 word = 0;

	switch (n) {
	CONTEXT_WORD(0);
	CONTEXT_WORD(1);
	CONTEXT_WORD(2);
	CONTEXT_WORD(3);
	CONTEXT_WORD(4);
	CONTEXT_WORD(5);
	CONTEXT_WORD(6);
	}
	return word;
}
#endif

/* Argument `n` of a fexit program's function, from 0. */
static __always_inline __u64 func_arg(void *ctx, __u32 n)
{
#ifdef KTRAIL_BOUNDED
	return context_word(ctx, n);
#else
	__u64 word = 0;

	bpf_get_func_arg(ctx, n, &word);
	return word;
#endif
}

/* Its return value; `parameters`: how many the function has, at most six (arch/x86/net/bpf_jit_comp.c before 6.7). */
static __always_inline __u64 func_return(void *ctx, __u32 parameters)
{
#ifdef KTRAIL_BOUNDED
	return context_word(ctx, parameters);
#else
	__u64 word = 0;

	bpf_get_func_ret(ctx, &word);
	return word;
#endif
}

/* Since 6.10. Without an argument in 6.12, with the context in 7.3. */
#ifdef KTRAIL_SESSION_CTX
extern bool bpf_session_is_return(void *ctx) __ksym __weak;
extern __u64 *bpf_session_cookie(void *ctx) __ksym __weak;
#define SESSION_IS_RETURN(ctx) bpf_session_is_return(ctx)
#define SESSION_COOKIE(ctx) bpf_session_cookie(ctx)
#else
extern bool bpf_session_is_return(void) __ksym __weak;
extern __u64 *bpf_session_cookie(void) __ksym __weak;
#define SESSION_IS_RETURN(ctx) bpf_session_is_return()
#define SESSION_COOKIE(ctx) bpf_session_cookie()
#endif

#endif
