/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_CORE_FIXES_H
#define KTRAIL_CORE_FIXES_H

/*
 * What differs between kernels, and nothing else. The same sources are built three times (Makefile):
 *
 *   hook.typed.bpf.o      KTRAIL_TYPED                       6.2 and later: loads through typed pointers
 *   hook.typed_ctx.bpf.o  KTRAIL_TYPED, KTRAIL_SESSION_CTX   the session kfuncs take the context (7.x)
 *   hook.probe.bpf.o                                         before 6.2: bpf_probe_read_kernel
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
