// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Never loaded. One variable of each type that user space needs, because clang leaves out of BTF the types that a program uses only inside inlined
 * functions. test/support/wire/write-wire.ts turns the BTF of build/layout.bpf.o into wire.ts.
 */
#include "vmlinux/kernel.h"
#include "event.h"
#include "frame/filter.h"
#include "base/path.h"
#include "match/set.h"
#include "match/number.h"
#include "frame/texts.h"
#include "base/components.h"
#include "frame/identity.h"
#include "frame/aggregate.h"
#include "process/conditions.h"
#include "process/task.h"
#include "process/privileges.h"
#include "process/cgroup.h"
#include "frame/workload.h"
#include "frame/hook.h"
#include "call/waiting.h"
#include "args/socket.h"
#include "match/socket.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
char VERSION[] SEC("ktrail_version") = KTRAIL_VERSION;

enum event_type layout_event_type;
enum hook_flag layout_hook_flag;
enum value_kind layout_value_kind;
enum value_flag layout_value_flag;
enum detail_flag layout_detail_flag;
enum file_limit layout_file_limit;
enum process_flag layout_process_flag;
enum cgroup_state layout_cgroup_state;
enum raised layout_raised;
enum data_of layout_data_of;
enum counter layout_counter;
enum arg_type layout_arg_type;
enum filter_op layout_filter_op;
enum filter_class layout_filter_class;
enum limit layout_limit;
enum set_id layout_set_id;
enum scratch_limit layout_scratch_limit;
enum text_limit layout_text_limit;
enum path_limit layout_path_limit;
enum value_index layout_value_index;
enum condition_limit layout_condition_limit;
enum condition_kind layout_condition_kind;
enum workload_kind layout_workload_kind;
enum task_namespace layout_task_namespace;
enum task_capabilities layout_task_capabilities;
struct privileges layout_privileges;
enum privilege_limit layout_privilege_limit;
enum socket_member layout_socket_member;
enum join_state layout_join_state;
enum repeat_scope layout_repeat_scope;
enum field_kind layout_field_kind;
enum param_source layout_param_source;
enum param_read layout_param_read;
enum stack_kind layout_stack_kind;
enum aggregate_flag layout_aggregate_flag;
enum take_result layout_take_result;
enum identity_limit layout_identity_limit;
enum identify_result layout_identify_result;

struct event_header layout_event_header;
struct value layout_value;
struct file_info layout_file_info;
struct file_details layout_file_details;
struct overlay_places layout_overlay_places;
struct text_key layout_text_key;
struct socket_info layout_socket_info;
struct object_info layout_object_info;
struct place_entry layout_place_entry;
struct automaton_row layout_automaton_row;
struct exec_body layout_exec_body;
struct data_body layout_data_body;
struct fork_body layout_fork_body;
struct cgroup_body layout_cgroup_body;
struct exit_body layout_exit_body;
struct return_body layout_return_body;
struct pending layout_pending;
struct repeat_key layout_repeat_key;
struct selector_id layout_selector_id;
struct acted layout_acted;
struct taken_aggregate layout_taken_aggregate;
struct identified layout_identified;
struct identity_name layout_identity_name;
struct identity_filters layout_identity_filters;
struct identity_screen layout_identity_screen;
struct linked_filters layout_linked_filters;
struct linked_news layout_linked_news;
