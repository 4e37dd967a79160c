// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Never loaded. One variable of each type that user space repeats, because clang leaves out of BTF whatever a program
 * uses only inside inlined functions; test/unit/collector/kernel/wire.test.ts reads them from build/layout.bpf.o.
 */
#include "vmlinux/x86_64.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "core_fixes.h"
#include "event.h"

#include "maps.h"
#include "record.h"
#include "path.h"
#include "filter.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum event_type layout_event_type;
enum hook_flag layout_hook_flag;
enum value_kind layout_value_kind;
enum value_flag layout_value_flag;
enum process_flag layout_process_flag;
enum counter layout_counter;
enum arg_type layout_arg_type;
enum filter_op layout_filter_op;

struct event_header layout_event_header;
struct value layout_value;
struct file_info layout_file_info;
struct text_key layout_text_key;
struct exec_body layout_exec_body;
struct fork_body layout_fork_body;
struct exit_body layout_exit_body;

/* Capacities that no array of a struct shows. */
enum layout_limit {
	LAYOUT_ARGS_MAX = ARGS_MAX,
	LAYOUT_NO_ARG = NO_ARG,
	LAYOUT_PATH_BYTES = PATH_BYTES,
	LAYOUT_TOP_MAX = TOP_MAX,
} layout_limit;
