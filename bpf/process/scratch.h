/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_PROCESS_SCRATCH_H
#define KTRAIL_PROCESS_SCRATCH_H

/* Memory for one record of an exec, too large for the stack. */

#include "../vmlinux/kernel.h"
#include "../event.h"
#include "../path.h"
#include "cgroup.h"

#define FILENAME_BYTES 4096
#define ARGV_BYTES 16384

struct exec_scratch {
	struct event_header header;
	struct exec_body body;
	char text[CGROUP_BYTES + FILENAME_BYTES + 2 * PATH_BYTES + 1024 + ARGV_BYTES];
};

MAP(PERCPU_ARRAY, exec_scratch, __u32, struct exec_scratch, 1);

#endif
