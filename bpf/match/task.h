/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_MATCH_TASK_H
#define KTRAIL_MATCH_TASK_H

/* Filters on the calling task itself: its namespaces and capabilities, as they are at the call. */

/* `filter.value` of CLASS_CAPABILITY; its first number is a mask, its second a user namespace to which it does not apply. */
enum task_capabilities {
	CAPABILITIES_EFFECTIVE,
	CAPABILITIES_INHERITABLE,
	CAPABILITIES_PERMITTED,
};

static __always_inline bool capabilities_match(const struct filter *f)
{
	__u64 cred = current_cred(), at, set = 0;

	if (f->numbers[1] && current_user_ns() == f->numbers[1])
		return false;
	if (f->value == CAPABILITIES_EFFECTIVE)
		at = MEMBER(cred, cred, cap_effective);
	else if (f->value == CAPABILITIES_INHERITABLE)
		at = MEMBER(cred, cred, cap_inheritable);
	else
		at = MEMBER(cred, cred, cap_permitted);
	/* Two words before 6.3, one since (kernel commit f122a08b197d): the same bytes. */
	bpf_probe_read_kernel(&set, sizeof(set), (void *)at);
	return ((set & f->numbers[0]) != 0) == (f->op == OP_MASK);
}

static __always_inline bool task_matches(const struct filter *f)
{
	if (f->class == CLASS_CAPABILITY)
		return capabilities_match(f);
	return number_among(f, false, namespace_of_task(f->value)) == (f->op == OP_EQUAL);
}

#endif
