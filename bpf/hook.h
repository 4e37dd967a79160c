/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_HOOK_H
#define KTRAIL_HOOK_H

/*
 * What a hook wants, as constants. User space fills `hooks` before load, so the verifier sees plain numbers and removes
 * whatever a policy does not use. collector/kernel/layout.ts writes these structs.
 */

struct hook {
	__u32 id;
	__u8 nargs;
	__u8 syscall;      /* arguments stand in the pt_regs that the first parameter points to */
	__u8 return_type;  /* enum arg_type; ARG_NOP: none is asked for */
	__u8 nselectors;
	__u8 arg_index[ARGS_MAX + 3];
	__u8 arg_type[ARGS_MAX + 3];  /* enum arg_type */
	struct selector selectors[SELECTORS_MAX];
	struct path_screen screen;
};

const volatile struct hook hooks[HOOK_SLOTS];

#endif
