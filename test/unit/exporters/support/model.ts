/**
 * The expected content of a JSON line, built as plain objects straight from the tables of docs/reference/records.md: an
 * encoder, slow and obvious. Keys have the order of the tables.
 */
import type {
  Aggregate,
  Argument,
  Event,
  Executed,
  Members,
  Process,
  RunEvent,
  StackFrame,
  Timestamp,
} from '../../../../exporters/contract/event.ts'
import { isHookEvent } from '../../../../exporters/contract/event.ts'
import { permission } from '../../../../exporters/encoding/files/permission.ts'

export type Json = string | number | boolean | readonly Json[] | { readonly [key: string]: Json | undefined }

/** The record of an event; keys that protojson leaves out are absent. */
export function recordOf(event: Event, nodeName: string): Json {
  if (event.type === 'agent_run') return prune({ node_name: word(nodeName), time: timeOf(event.time) })
  const key = event.type === 'events_lost' ? 'rate_limit_info' : event.type
  const aggregate = isHookEvent(event) && event.aggregate !== undefined ? aggregateOf(event.aggregate) : undefined
  return prune({ [key]: bodyOf(event), node_name: word(nodeName), time: timeOf(event.time), aggregate })
}

const aggregateOf = ({ count, bytes, last }: Aggregate): Json =>
  prune({ count: String(count), bytes: bytes === undefined ? undefined : String(bytes), last_time: timeOf(last) })

function bodyOf(event: Exclude<Event, RunEvent>): Json {
  if (event.type === 'agent_change') {
    const { what, by, names, count, mode, modeBefore } = event
    const words = names.map((name) => name.toWellFormed())
    return prune({ what, by: by.toWellFormed(), names: words, count, mode, mode_before: modeBefore })
  }
  if (event.type === 'events_lost') return { number_of_dropped_process_events: String(event.count) }
  const tid = isHookEvent(event) ? event.tid : event.process.pid
  const process = processOf(event.process, event.refcnt, tid, event.type === 'process_exec' ? event.executed : {})
  const parent = event.parent === undefined ? undefined : processOf(event.parent, 0, event.parent.pid)
  const above = (event.ancestors ?? []).map((each) => processOf(each, each.forked === true ? 1 : 0, each.pid))
  const ancestors = above.length === 0 ? undefined : above
  switch (event.type) {
    case 'process_exec':
      return prune({ process, parent, ancestors })
    case 'process_exit':
      return prune({
        process,
        parent,
        signal: word(event.signal),
        status: event.status || undefined,
        time: timeOf(event.time),
        ancestors,
      })
    case 'process_lsm': {
      const { hook } = event
      return prune({
        process,
        parent,
        function_name: word(hook.functionName),
        policy_name: word(hook.policy),
        message: word(hook.message),
        args: event.args.length > 0 ? event.args.map((each, i) => argumentOf(each, hook.labels[i] ?? '')) : undefined,
        action: `KPROBE_ACTION_${hook.action.toUpperCase()}`,
        tags: hook.tags.length > 0 ? hook.tags.map((tag) => tag.toWellFormed()) : undefined,
        ancestors,
      })
    }
    case 'process_tracepoint': {
      const { hook } = event
      const [subsys = '', name = ''] = hook.functionName.split(':')
      return prune({
        process,
        parent,
        subsys: word(subsys),
        event: word(name),
        args: event.args.length > 0 ? event.args.map((each, i) => argumentOf(each, hook.labels[i] ?? '')) : undefined,
        policy_name: word(hook.policy),
        action: `KPROBE_ACTION_${hook.action.toUpperCase()}`,
        message: word(hook.message),
        tags: hook.tags.length > 0 ? hook.tags.map((tag) => tag.toWellFormed()) : undefined,
        ancestors,
      })
    }
    case 'process_kprobe': {
      const { hook } = event
      const args = event.args.map((argument, i) => argumentOf(argument, hook.labels[i] ?? ''))
      return prune({
        process,
        parent,
        function_name: word(hook.functionName),
        args: args.length > 0 ? args : undefined,
        return: event.returned === undefined ? undefined : argumentOf(event.returned, ''),
        action: `KPROBE_ACTION_${hook.action.toUpperCase()}`,
        kernel_stack_trace: event.kernelStack?.map(frameOf),
        policy_name: word(hook.policy),
        return_action: `KPROBE_ACTION_${hook.returnAction.toUpperCase()}`,
        message: word(hook.message),
        tags: hook.tags.length > 0 ? hook.tags.map((tag) => tag.toWellFormed()) : undefined,
        user_stack_trace: event.userStack?.map(frameOf),
        ancestors,
        data: event.data?.map((argument, i) => argumentOf(argument, hook.dataLabels?.[i] ?? '')),
      })
    }
  }
}

const frameOf = ({ address, offset, symbol, module }: StackFrame): Json =>
  prune({
    address: address === 0n ? undefined : String(address),
    offset: offset === 0 ? undefined : String(offset),
    symbol: word(symbol),
    module: word(module),
  })

function processOf(process: Process, refcnt: number, tid: number, executed: Executed = {}): Json {
  const file =
    process.unlinkedInode === undefined ? undefined : { inode: { number: String(process.unlinkedInode), links: 0 } }
  const raised = [...(executed.raised ?? [])].map(([key, value]) => [key, value as Json] as const)
  const properties = prune({ ...Object.fromEntries(raised), file })
  return prune({
    exec_id: word(process.execId),
    pid: process.pid,
    uid: process.uid,
    cwd: word(process.cwd),
    binary: word(process.binary),
    arguments: word(executed.arguments ?? process.arguments),
    flags: word(executed.flags ?? process.flags),
    start_time: timeOf(process.startTime),
    auid: process.auid,
    pod: podOf(process),
    docker: word(process.docker),
    parent_exec_id: word(process.parentExecId),
    refcnt: refcnt || undefined,
    cap: membersOf(process.details?.cap),
    ns: membersOf(process.details?.ns),
    tid,
    process_credentials: membersOf(process.details?.process_credentials),
    binary_properties: Object.keys(properties).length === 0 ? undefined : properties,
    user: membersOf(process.details?.user),
    in_init_tree: process.inInitTree,
    environment_variables: executed.environment?.map(([name, value]) => prune({ Key: word(name), Value: word(value) })),
  })
}

function membersOf(members: Members | undefined): Json | undefined {
  if (members === undefined) return undefined
  return Object.fromEntries(
    [...members].map(([key, value]) => [key, value instanceof Map ? membersOf(value) : value]),
  ) as Json
}

function podOf({ pod, nspid, execProbe }: Process): Json | undefined {
  if (pod === undefined) return undefined
  const { container, labels } = pod
  return prune({
    namespace: word(pod.namespace),
    name: word(pod.name),
    uid: word(pod.uid),
    container:
      container === undefined
        ? undefined
        : prune({
            id: word(container.id),
            name: word(container.name),
            image: prune({ id: word(container.imageId), name: word(container.image) }),
            start_time: container.startTime === undefined ? undefined : timeOf(container.startTime),
            pid: nspid || undefined,
            maybe_exec_probe: execProbe || undefined,
            security_context: prune({ privileged: container.privileged || undefined }),
          }),
    pod_labels: Object.keys(labels).length === 0 ? undefined : labels,
    workload: word(pod.workload),
    workload_kind: word(pod.workloadKind),
  })
}

function argumentOf(argument: Argument, label: string): Json {
  return prune({ ...valueOf(argument), label: word(label) })
}

function valueOf(argument: Argument): { readonly [key: string]: Json } {
  switch (argument.kind) {
    case 'file': {
      const flags = word(
        [argument.unresolved ? 'unresolvedPathComponents' : '', argument.unstable ? 'unstablePath' : '']
          .filter((flag) => flag !== '')
          .join(' '),
      )
      return {
        [argument.field]: prune({
          path: word(argument.path),
          flags,
          permission: permission(argument.mode & 0xffff),
        }),
      }
    }
    case 'number':
      return { [argument.field]: argument.value }
    case 'wide':
      return { [argument.field]: argument.value.toString() }
    case 'string':
      return { string_arg: argument.value.toWellFormed() }
    case 'bytes': {
      const base64 = Buffer.from(argument.value).toString('base64')
      if (argument.field === 'bytes_arg') return { bytes_arg: base64 }
      return { truncated_bytes_arg: prune({ bytes_arg: word(base64), orig_size: argument.size.toString() }) }
    }
    case 'struct':
      return {
        [argument.field]: Object.fromEntries(
          argument.members.map(([key, value]) => [key, typeof value === 'number' ? value : value.toString()]),
        ),
      }
    case 'error':
      return { error_arg: prune({ Message: word(argument.message) }) }
  }
}

/** RFC 3339, UTC, with as many groups of three digits as the nanoseconds need. */
function timeOf({ sec, nsec }: Timestamp): string {
  const seconds = new Date(sec * 1000).toISOString().replace('.000Z', '')
  const digits = String(nsec)
    .padStart(9, '0')
    .replace(/(000)+$/, '')
  return digits === '' ? `${seconds}Z` : `${seconds}.${digits}Z`
}

function word(text: string): string | undefined {
  return text === '' ? undefined : text.toWellFormed()
}

function prune(object: { readonly [key: string]: Json | undefined }): Json {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined))
}
