/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_SESSION_H
#define KTRAIL_SESSION_H

/*
 * The two ends of a call that one program sees. The kernel carries 8 bytes from one to the other: the time of the entry, which
 * with the place of the call tells user space which call returns. So the map `join` is only for the few calls that need more.
 */
#ifdef SESSION_COOKIE
#define SESSION_UNREAD ~0ull /* no time of a call: this one is in the map as JOIN_UNREAD */

#include "../vmlinux/kernel.h"
#include "../core_fixes.h"
#include "../event.h"
#include "join.h"
#include "scratch.h"
#include "joined.h"

/* Between the two halves of an entry. */
static __always_inline void expect_return(__u32 slot, struct scratch *s)
{
	/* Sends an earlier end at this place that the ring had no room for: user space takes it for unseen when it reads of this call. */
	if (!join_is_empty())
		not_awaited(slot, s->call.sp);
	s->call.returns = HOOK_RETURN_FOLLOWS;
	s->call.returned = number_at(slot, s->call.sp);
}

static __noinline __u64 session_unread(__u32 slot, struct scratch *s)
{
	struct join_key key = join_key(slot, s->call.sp);

	return keep_unread(&key, s) ? SESSION_UNREAD : 0;
}

/* After the records of an entry: the data for its return; 0 if no return is needed. */
static __always_inline __u64 session_entered(__u32 slot, struct scratch *s)
{
	if (s->call.awaited)
		return s->call.time;
	return s->call.unread ? session_unread(slot, s) : 0;
}

#endif
#endif
