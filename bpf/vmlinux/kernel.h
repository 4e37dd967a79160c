/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_KERNEL_H
#define KTRAIL_KERNEL_H

/* Types of the kernel, helpers of BPF, and the form of a map: what every header here stands on. */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "map.h"

#endif
