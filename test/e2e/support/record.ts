/** JSON lines of the agent as tests read them: Tetragon's shape, every key optional as in protobuf JSON. */

export interface ProcessRecord {
  readonly exec_id?: string
  readonly pid?: number
  readonly uid?: number
  readonly cwd?: string
  readonly binary?: string
  readonly arguments?: string
  readonly flags?: string
  readonly start_time?: string
  readonly auid?: number
  readonly pod?: { readonly [key: string]: unknown }
  readonly docker?: string
  readonly parent_exec_id?: string
  readonly refcnt?: number
  readonly tid?: number
  readonly environment_variables?: ReadonlyArray<{ readonly Key?: string; readonly Value?: string }>
  readonly binary_properties?: {
    readonly setuid?: number
    readonly setgid?: number
    readonly privileges_changed?: readonly string[]
    readonly file?: { readonly inode?: { readonly number?: string; readonly links?: number } }
  }
  readonly in_init_tree?: boolean
  readonly cap?: MembersRecord
  readonly ns?: MembersRecord
  readonly process_credentials?: MembersRecord
  readonly user?: MembersRecord
}

export interface FileRecord {
  readonly path?: string
  readonly flags?: string
  readonly permission?: string
}

/** Members of a kernel struct. */
export type MembersRecord = { readonly [key: string]: string | number | boolean | readonly string[] | MembersRecord }

export interface ArgumentRecord {
  readonly file_arg?: FileRecord
  readonly path_arg?: FileRecord
  readonly linux_binprm_arg?: FileRecord
  readonly int_arg?: number
  readonly uint_arg?: number
  readonly size_arg?: string
  readonly long_arg?: string
  readonly string_arg?: string
  readonly bytes_arg?: string
  readonly truncated_bytes_arg?: { readonly bytes_arg?: string; readonly orig_size?: string }
  readonly sock_arg?: Readonly<Record<string, string | number>>
  readonly skb_arg?: Readonly<Record<string, string | number>>
  readonly sockaddr_arg?: Readonly<Record<string, string | number>>
  readonly sockaddrun_arg?: Readonly<Record<string, string>>
  readonly bpf_cmd_arg?: string
  readonly bpf_attr_arg?: MembersRecord
  readonly bpf_prog_arg?: MembersRecord
  readonly bpf_map_arg?: MembersRecord
  readonly perf_event_arg?: MembersRecord
  readonly module_arg?: MembersRecord
  readonly process_credentials_arg?: MembersRecord
  readonly user_ns_arg?: MembersRecord
  readonly capability_arg?: MembersRecord
  readonly kernel_cap_t_arg?: string
  readonly cap_inheritable_arg?: string
  readonly cap_permitted_arg?: string
  readonly cap_effective_arg?: string
  readonly error_arg?: { readonly Message?: string }
  readonly label?: string
}

interface Body {
  readonly process?: ProcessRecord
  readonly parent?: ProcessRecord
  readonly ancestors?: readonly ProcessRecord[]
}

export interface ExitRecord extends Body {
  readonly signal?: string
  readonly status?: number
  readonly time?: string
}

export interface KprobeRecord extends Body {
  readonly function_name?: string
  readonly args?: readonly ArgumentRecord[]
  readonly data?: readonly ArgumentRecord[]
  readonly return?: ArgumentRecord
  readonly action?: string
  readonly policy_name?: string
  readonly return_action?: string
  readonly message?: string
  readonly tags?: readonly string[]
  readonly kernel_stack_trace?: readonly FrameRecord[]
  readonly user_stack_trace?: readonly FrameRecord[]
}

export interface FrameRecord {
  readonly address?: string
  readonly offset?: string
  readonly symbol?: string
  readonly module?: string
}

/** One line. */
export interface Line {
  readonly process_exec?: Body
  readonly process_exit?: ExitRecord
  readonly process_kprobe?: KprobeRecord
  readonly process_lsm?: KprobeRecord
  readonly process_tracepoint?: KprobeRecord
  /** A loss record. */
  readonly rate_limit_info?: { readonly number_of_dropped_process_events?: string }
  /** A record about a change. */
  readonly agent_change?: Readonly<Record<string, unknown>>
  readonly node_name?: string
  readonly time?: string
  readonly aggregate?: { readonly count: string; readonly bytes?: string; readonly last_time: string }
}

/** The process of a line of any type; an empty one if there is none. */
export function processOf(line: Line): ProcessRecord {
  return (
    (line.process_kprobe ?? line.process_lsm ?? line.process_tracepoint ?? line.process_exec ?? line.process_exit)
      ?.process ?? {}
  )
}

/** Number of events in the loss records among these lines. */
export function lostIn(lines: readonly Line[]): number {
  return lines.reduce((sum, line) => sum + Number(line.rate_limit_info?.number_of_dropped_process_events ?? 0), 0)
}

/** Path of the first file or path argument; '' for a pathless file; undefined when the line has no such argument. */
export function pathOf(line: Line): string | undefined {
  const argument = line.process_kprobe?.args?.find((arg) => arg.file_arg !== undefined || arg.path_arg !== undefined)
  return argument === undefined ? undefined : ((argument.file_arg ?? argument.path_arg)?.path ?? '')
}

/** `<node>:<start ns>:<pid>` that an exec_id stands for. */
export function execIdText(execId: string | undefined): string {
  return Buffer.from(execId ?? '', 'base64').toString()
}
