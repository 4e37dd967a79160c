/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_ARGS_SOCKET_H
#define KTRAIL_ARGS_SOCKET_H

/* Arguments that lead to addresses and ports: struct sock, socket, sk_buff and sockaddr. All give the same struct socket_info. */

#include "../vmlinux/kernel.h"
#include "../base/core_fixes.h"
#include "../event.h"
#include "../frame/filter.h"

/* 1: a function of this object has such an argument, 2: also a sockaddr_un (args/unix.h). Otherwise their code is removed before a load. */
const volatile __u32 asks_network = 0;

#define AF_INET 2
#define AF_INET6 10

#define IPPROTO_HOPOPTS 0
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_ROUTING 43
#define IPPROTO_FRAGMENT 44
#define IPPROTO_AH 51
#define IPPROTO_DSTOPTS 60
#define IPPROTO_SCTP 132
#define IPPROTO_UDPLITE 136

#define IP6_HEADERS_MAX 8 /* maximum extension headers; the ports of a packet with more are not read */

static __always_inline void read_sock(struct socket_info *info, __u64 sk)
{
	info->object = sk;
	info->family = LOAD(sock, sk, __sk_common.skc_family);
	info->state = LOAD(sock, sk, __sk_common.skc_state);
	info->type = LOAD(sock, sk, sk_type);
	info->protocol = LOAD(sock, sk, sk_protocol);
	info->mark = LOAD(sock, sk, sk_mark);
	info->priority = LOAD(sock, sk, sk_priority);
	if (info->family == AF_INET) {
		info->saddr[0] = LOAD(sock, sk, __sk_common.skc_rcv_saddr);
		info->daddr[0] = LOAD(sock, sk, __sk_common.skc_daddr);
	} else if (info->family == AF_INET6) {
		bpf_probe_read_kernel(info->saddr, sizeof(info->saddr), (void *)MEMBER(sock, sk, __sk_common.skc_v6_rcv_saddr));
		bpf_probe_read_kernel(info->daddr, sizeof(info->daddr), (void *)MEMBER(sock, sk, __sk_common.skc_v6_daddr));
	} else {
		return;
	}
	info->sport = LOAD(sock, sk, __sk_common.skc_num);
	info->dport = bpf_ntohs(LOAD(sock, sk, __sk_common.skc_dport));
}

/* The protocol of an IPv6 packet behind its extensions; `at` is moved there. -1 for a later fragment and for too many extensions. */
static __always_inline int ip6_protocol(__u64 *at, __u8 next)
{
	__u8 extension[4];
	__u32 i;

	*at += 40;
	for (i = 0; i < IP6_HEADERS_MAX; i++) {
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_FRAGMENT && next != IPPROTO_AH &&
		    next != IPPROTO_DSTOPTS)
			return next;
		if (bpf_probe_read_kernel(extension, sizeof(extension), (void *)*at))
			return -1;
		if (next == IPPROTO_FRAGMENT) {
			if (extension[2] || extension[3] & 0xf8)
				return -1;
			*at += 8;
		} else {
			*at += next == IPPROTO_AH ? 4 * (extension[1] + 2) : 8 * (extension[1] + 1);
		}
		next = extension[0];
	}
	return -1;
}

/* Reads the headers of a packet, and the fields of its struct beside them. A packet without a network header has no addresses. */
static __always_inline void read_skb(struct socket_info *info, __u64 skb)
{
	__u64 at = (__u64)LOAD(sk_buff, skb, head) + LOAD(sk_buff, skb, network_header);
	__u16 ports[2] = {};
	__u8 ip[20] = {};
	int protocol;

	info->hash = LOAD(sk_buff, skb, hash);
	info->len = LOAD(sk_buff, skb, len);
	info->mark = LOAD(sk_buff, skb, mark);
	info->priority = LOAD(sk_buff, skb, priority);
	if (bpf_probe_read_kernel(ip, sizeof(ip), (void *)at))
		return;
	if (ip[0] >> 4 == 4) {
		info->family = AF_INET;
		__builtin_memcpy(info->saddr, ip + 12, 4);
		__builtin_memcpy(info->daddr, ip + 16, 4);
		protocol = ip[9];
		info->protocol = protocol;
		/* Only the first fragment has ports. */
		if (ip[6] & 0x1f || ip[7])
			return;
		at += 4 * (ip[0] & 15);
	} else if (ip[0] >> 4 == 6) {
		info->family = AF_INET6;
		bpf_probe_read_kernel(info->saddr, sizeof(info->saddr), (void *)(at + 8));
		bpf_probe_read_kernel(info->daddr, sizeof(info->daddr), (void *)(at + 24));
		info->protocol = ip[6];
		protocol = ip6_protocol(&at, ip[6]);
		if (protocol < 0)
			return;
		info->protocol = protocol;
	} else {
		return;
	}
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP && protocol != IPPROTO_SCTP && protocol != IPPROTO_UDPLITE)
		return;
	if (bpf_probe_read_kernel(ports, sizeof(ports), (void *)at))
		return;
	info->sport = bpf_ntohs(ports[0]);
	info->dport = bpf_ntohs(ports[1]);
}

/* A copy of the caller's address, as the hooks of sockets get it. */
static __always_inline bool read_sockaddr(struct socket_info *info, __u64 address)
{
	__u16 port = 0;

	if (bpf_probe_read_kernel(&info->family, sizeof(info->family), (void *)address))
		return false;
	if (info->family == AF_INET) {
		bpf_probe_read_kernel(&port, sizeof(port), (void *)(address + 2));
		bpf_probe_read_kernel(info->saddr, 4, (void *)(address + 4));
	} else if (info->family == AF_INET6) {
		bpf_probe_read_kernel(&port, sizeof(port), (void *)(address + 2));
		bpf_probe_read_kernel(info->saddr, sizeof(info->saddr), (void *)(address + 8));
	}
	info->sport = bpf_ntohs(port);
	return true;
}

/* Writes the socket, packet or address of an argument at `v`; returns the bytes used. */
static __always_inline __u32 put_socket(struct value *v, __u8 type, __u64 argument)
{
	struct socket_info *info = (struct socket_info *)(v + 1);
	bool read = argument != 0;

	__builtin_memset(info, 0, sizeof(*info));
	if (read && type == ARG_SOCKET)
		argument = (__u64)LOAD(socket, argument, sk);
	/* A new or closed socket has none. */
	if (!argument)
		read = false;
	else if (type == ARG_SKB)
		read_skb(info, argument);
	else if (type == ARG_SOCKADDR)
		read = read_sockaddr(info, argument);
	else
		read_sock(info, argument);
	v->kind = read ? VALUE_SOCKET : VALUE_ERROR;
	v->len = read ? sizeof(*info) : 0;
	return sizeof(*v) + v->len;
}

#endif
