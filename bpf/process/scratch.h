/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef KTRAIL_PROCESS_SCRATCH_H
#define KTRAIL_PROCESS_SCRATCH_H

/* Memory for one record of an exec, too large for the stack. */

#include "../vmlinux/kernel.h"
#include "../event.h"
#include "../base/path.h"
#include "../base/path_text.h"
#include "cgroup.h"

#define FILENAME_BYTES 4096
#define ARGV_BYTES 16384

struct exec_scratch {
	struct text_walk walk;
	struct event_header header;
	struct exec_body body;
	char text[CGROUP_BYTES + FILENAME_BYTES + 2 * PATH_BYTES + 1024 + ARGV_BYTES];
};
_Static_assert(sizeof(struct exec_scratch) <= SCRATCH_BYTES, "the scratch has room");

#define EXEC_TEXT offsetof(struct exec_scratch, text)

static __always_inline struct exec_scratch *exec_scratch(void)
{
	return (struct exec_scratch *)walk_of(0);
}

#endif
