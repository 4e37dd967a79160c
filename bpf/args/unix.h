/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_ARGS_UNIX_H
#define KTRAIL_ARGS_UNIX_H

/* Addresses of Unix sockets: include/uapi/linux/un.h struct sockaddr_un. */

#include "../vmlinux/kernel.h"
#include "../event.h"
#include "../base/record.h"
#include "bytes.h"

#define AF_UNIX 1
#define SUN_PATH 2 /* offset of sun_path */
#define SUN_PATH_MAX 108

/*
 * Writes the path of a Unix socket's address at `at`, as a file whose inode number is the family. Returns the bytes used. Other families have no path.
 * `len`: that of the address, because an abstract name has no NUL at its end. Its first NUL becomes an @, and it ends at the next, as in Tetragon.
 */
static __always_inline __u32 put_unix_address(char *at, __u64 address, __u32 len)
{
	struct value *v = (struct value *)at;
	struct file_info *info = (struct file_info *)(v + 1);
	struct text_key *key = (struct text_key *)(info + 1);
	char *text = (char *)(key + 1);
	__u16 family = 0;
	long got = 0;

	v->kind = VALUE_ERROR;
	v->len = 0;
	if (read_at(&family, sizeof(family), address))
		return sizeof(*v);
	if (len > SUN_PATH + SUN_PATH_MAX)
		len = SUN_PATH + SUN_PATH_MAX;
	if (family == AF_UNIX && len > SUN_PATH) {
		address += SUN_PATH;
		text[0] = 0;
		if (read_at(text, 1, address))
			return sizeof(*v);
		/* The helpers write a NUL behind the text. */
		len = len - SUN_PATH + 1;
		if (!text[0]) {
			*text++ = '@';
			address++;
			len--;
			v->len = 1;
		}
		barrier_var(len);
		len &= 127;
		if ((__s64)address < 0)
			got = bpf_probe_read_kernel_str(text, len, (void *)address);
		else
			got = bpf_probe_read_user_str(text, len, (void *)address);
		if (got < 0) {
			v->len = 0;
			return sizeof(*v);
		}
		/* For an empty name the kernel chooses one, so `@` never stands alone. */
		v->len = got > 1 ? v->len + got - 1 : 0;
	}
	v->kind = VALUE_FILE;
	info->ino = family;
	info->dev = 0;
	info->mode = 0;
	return sizeof(*v) + sizeof(*info) + sizeof(*key) + padded(v->len);
}

#endif
