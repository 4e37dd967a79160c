/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_MATCH_SOCKET_H
#define KTRAIL_MATCH_SOCKET_H

/*
 * Filters on addresses, ports, protocols, families and states. Each value is the beginning of a member's bytes, first byte
 * first: a network of addresses, and of numbers a range as the few beginnings that cover it. So one tree serves them all.
 */

#include "../vmlinux/kernel.h"
#include "../event.h"
#include "../frame/filter.h"
#include "../args/socket.h"

/* `filter.count` of CLASS_SOCKET. */
enum socket_member {
	MEMBER_SADDR,
	MEMBER_DADDR,
	MEMBER_SPORT,
	MEMBER_DPORT,
	MEMBER_PROTOCOL,
	MEMBER_FAMILY,
	MEMBER_STATE,
};

struct socket_entry {
	__u32 bits;
	__u32 filter;  /* the filter's number; plus one for addresses of IPv6 */
	__u32 value[4];
};

TRIE(socket_values, struct socket_entry, __u8, 1);

static __always_inline bool socket_matches(const struct filter *f, const struct value *v)
{
	const struct socket_info *info = (const struct socket_info *)(v + 1);
	struct socket_entry key = { .filter = f->id };
	__u32 bits = 16, i;
	__u16 number = 0;

	switch (f->count) {
	case MEMBER_SADDR:
	case MEMBER_DADDR:
		/* Other families have no such address: NotSAddr and NotDAddr fail as well. */
		if (info->family == AF_INET6) {
			key.filter++;
			bits = 128;
		} else if (info->family == AF_INET) {
			bits = 32;
		} else {
			return false;
		}
		for (i = 0; i < 4; i++)
			key.value[i] = f->count == MEMBER_SADDR ? info->saddr[i] : info->daddr[i];
		break;
	case MEMBER_SPORT:
		number = info->sport;
		break;
	case MEMBER_DPORT:
		number = info->dport;
		break;
	case MEMBER_PROTOCOL:
		number = info->protocol;
		break;
	case MEMBER_FAMILY:
		number = info->family;
		break;
	case MEMBER_STATE:
		number = info->state;
		break;
	}
	if (bits == 16)
		key.value[0] = bpf_htons(number);
	key.bits = 8 * sizeof(key.filter) + bits;
	return (bpf_map_lookup_elem(&socket_values, &key) != 0) == (f->op == OP_EQUAL);
}

#endif
