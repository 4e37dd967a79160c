/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_REGISTERS_H
#define KTRAIL_REGISTERS_H

/* Included by vmlinux.h. The kernel's pt_regs begins with these; programs may read nothing behind them. */
struct user_pt_regs {
	__u64 regs[31];
	__u64 sp, pc, pstate;
};

struct thread_info {
	unsigned long flags;
};

/* Whether a task is a 32-bit program: TIF_32BIT of arch/arm64/include/asm/thread_info.h. */
#define IN_COMPAT_SYSCALL(task) (LOAD(task_struct, task, thread_info.flags) >> 22 & 1)

/* Parameter N of the system call whose registers lie at an address. */
#define SYSCALL_PARM1(address) LOAD(user_pt_regs, address, regs[0])
#define SYSCALL_PARM2(address) LOAD(user_pt_regs, address, regs[1])
#define SYSCALL_PARM3(address) LOAD(user_pt_regs, address, regs[2])
#define SYSCALL_PARM4(address) LOAD(user_pt_regs, address, regs[3])
#define SYSCALL_PARM5(address) LOAD(user_pt_regs, address, regs[4])

/* The stack pointer that a returning function was called with: its return address was in a register. */
#define JOINED_SP(ctx) PT_REGS_SP(ctx)

#endif
