/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_REGISTERS_H
#define KTRAIL_REGISTERS_H

/* Included by vmlinux.h. */
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8;
	unsigned long ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

struct thread_info {
	__u32 status;
};

/* Whether a task is in a system call of 32-bit programs: TS_COMPAT of arch/x86/include/asm/thread_info.h. */
#define IN_COMPAT_SYSCALL(task) (LOAD(task_struct, task, thread_info.status) & 2)

/* Parameter N of the system call whose registers lie at an address. */
#define SYSCALL_PARM1(address) LOAD(pt_regs, address, di)
#define SYSCALL_PARM2(address) LOAD(pt_regs, address, si)
#define SYSCALL_PARM3(address) LOAD(pt_regs, address, dx)
#define SYSCALL_PARM4(address) LOAD(pt_regs, address, r10)
#define SYSCALL_PARM5(address) LOAD(pt_regs, address, r8)

/* The stack pointer that a returning function was called with: its return address is popped by now. */
#define JOINED_SP(ctx) (PT_REGS_SP(ctx) - sizeof(__u64))

#endif
