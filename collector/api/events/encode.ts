/**
 * Events as bytes of Tetragon's GetEventsResponse. They are written field by field, because a message object per event costs several times
 * as much. Numbers of fields come from the descriptors. Fields that JSON lines omit are omitted here.
 *
 * Most of an event is its process and the parent. Nearly every event repeats them, so their bytes are cached with the process. Only refcnt
 * and tid differ between events; protobuf allows them to follow.
 */
import { ScalarType, create, toBinary } from '@bufbuild/protobuf'
import type { DescField } from '@bufbuild/protobuf'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type {
  Aggregate,
  Argument,
  Event,
  Executed,
  HookEvent,
  NamedContainer,
  Process,
  StackFrame,
  Timestamp,
} from '../../../exporters/contract/event.ts'
import { fileFlags, isHookEvent, permission, tracepointOf } from '../../../exporters/index.ts'
import { AggregateSchema, EnvelopeSchema } from '../../proto/ktrail/events_pb.js'
import {
  GetEventsResponseSchema,
  KprobeActionSchema,
  KprobeArgumentSchema,
  ProcessExecSchema,
  ProcessExitSchema,
  ProcessKprobeSchema,
  ProcessLsmSchema,
  ProcessSchema,
  ProcessTracepointSchema,
  RateLimitInfoSchema,
  StackTraceEntrySchema,
} from '../../proto/tetragon/events_pb.js'
import { numberOf, writeMembers } from './encode-members.ts'
import { headOf } from './encode-process.ts'
import { known, numbersOf, open, text, time, wrapped } from './proto-fields.ts'
import type { Numbers } from './proto-fields.ts'

const RESPONSE = numbersOf(GetEventsResponseSchema)
const PROCESS = numbersOf(ProcessSchema)
/** Only kprobes have a return value, and so an action on it. */
const EVENTS = {
  process_exec: numbersOf(ProcessExecSchema),
  process_exit: numbersOf(ProcessExitSchema),
  process_kprobe: numbersOf(ProcessKprobeSchema),
  process_lsm: numbersOf(ProcessLsmSchema),
  process_tracepoint: numbersOf(ProcessTracepointSchema),
}
const LABEL = numbersOf(KprobeArgumentSchema)['label']
/** Fields by name, each with the numbers of the fields of its message. */
const ARGUMENTS: ReadonlyMap<string, ArgumentField> = new Map(
  KprobeArgumentSchema.fields.map((field) => [
    field.name,
    { field, inner: field.message === undefined ? {} : numbersOf(field.message) },
  ]),
)
const LOST = numbersOf(RateLimitInfoSchema)
const AGGREGATE = numbersOf(AggregateSchema)
const FRAME = numbersOf(StackTraceEntrySchema)

interface ArgumentField {
  readonly field: DescField
  readonly inner: Numbers
}

export class ResponseEncoder {
  readonly #nodeName: string
  readonly #out = new BinaryWriter()
  /** By `Rendered.key`: the process without refcnt and tid. */
  readonly #heads = new WeakMap<object, Uint8Array>()
  readonly #envelopes = new WeakMap<NamedContainer, Uint8Array>()

  constructor(nodeName: string) {
    this.#nodeName = nodeName
  }

  encode(event: Event): Uint8Array {
    const out = this.#out
    if (event.type === 'events_lost') return this.lost(event.count, event.time)
    // Live readers get neither.
    if (event.type === 'agent_run' || event.type === 'agent_change') return this.#finish(out, event.time)
    const fields = EVENTS[event.type]
    const { process, parent, refcnt, ancestors = [] } = event
    const hooked = isHookEvent(event) ? event : undefined
    open(out, RESPONSE[event.type])
    const executed = event.type === 'process_exec' ? event.executed : undefined
    this.#process(out, fields['process'], process, refcnt, hooked?.tid ?? process.pid, executed)
    this.#parent(out, fields['parent'], parent)
    if (hooked !== undefined) call(out, fields, hooked)
    if (event.type === 'process_exit') {
      text(out, fields['signal'], event.signal)
      if (event.status !== 0) out.tag(known(fields['status']), WireType.Varint).uint32(event.status)
      time(out, fields['time'], event.time)
    }
    for (const each of ancestors) this.#parent(out, fields['ancestors'], each)
    out.join()
    return this.#finish(out, event.time, process.container, hooked?.aggregate)
  }

  /** The message that reports lost events to a client. */
  lost(count: number, at: Timestamp): Uint8Array {
    const out = this.#out
    open(out, RESPONSE['rate_limit_info'])
    out.tag(known(LOST['number_of_dropped_process_events']), WireType.Varint).uint64(count)
    out.join()
    return this.#finish(out, at)
  }

  /** A Process outside of an event. */
  process(process: Process): Uint8Array {
    this.#body(this.#out, process, process.refcnt, process.pid)
    return this.#out.finish()
  }

  #finish(out: BinaryWriter, at: Timestamp, container?: NamedContainer, aggregate?: Aggregate): Uint8Array {
    text(out, RESPONSE['node_name'], this.#nodeName)
    time(out, RESPONSE['time'], at)
    if (container !== undefined) {
      out.tag(known(RESPONSE['ktrail']), WireType.LengthDelimited).bytes(this.#envelope(container))
    }
    if (aggregate !== undefined) {
      const { count, bytes, last } = aggregate
      open(out, RESPONSE['aggregate'])
      out.tag(known(AGGREGATE['count']), WireType.Varint).uint64(count)
      if (bytes !== undefined) out.tag(known(AGGREGATE['bytes']), WireType.Varint).uint64(bytes)
      time(out, AGGREGATE['last_time'], last)
      out.join()
    }
    return out.finish()
  }

  #envelope(container: NamedContainer): Uint8Array {
    let bytes = this.#envelopes.get(container)
    if (bytes === undefined) {
      bytes = toBinary(EnvelopeSchema, create(EnvelopeSchema, { container }))
      this.#envelopes.set(container, bytes)
    }
    return bytes
  }

  #parent(out: BinaryWriter, field: number | undefined, parent: Process | undefined): void {
    if (parent !== undefined) this.#process(out, field, parent, parent.forked === true ? 1 : 0, parent.pid)
  }

  #process(
    out: BinaryWriter,
    field: number | undefined,
    process: Process,
    refcnt: number,
    tid: number,
    executed?: Executed,
  ): void {
    open(out, field)
    this.#body(out, process, refcnt, tid, executed)
    out.join()
  }

  #body(out: BinaryWriter, process: Process, refcnt: number, tid: number, executed?: Executed): void {
    // `executed` is in this event only, so it is not cached.
    out.raw(executed === undefined ? this.#head(process) : headOf(process, executed))
    if (refcnt !== 0) out.tag(known(PROCESS['refcnt']), WireType.Varint).uint32(refcnt)
    wrapped(out, PROCESS['tid'], tid)
  }

  #head(process: Process): Uint8Array {
    const rendered = process.rendered.touch()
    let bytes = this.#heads.get(rendered.key)
    if (bytes !== undefined) return bytes
    bytes = headOf(process)
    this.#heads.set(rendered.key, bytes)
    rendered.charge(bytes.length)
    return bytes
  }
}

function call(out: BinaryWriter, fields: Numbers, made: HookEvent): void {
  const { hook, args, data = [], returned } = made
  if (fields['function_name'] === undefined) {
    const [subsystem, event] = tracepointOf(hook)
    text(out, fields['subsys'], subsystem)
    text(out, fields['event'], event)
  } else {
    text(out, fields['function_name'], hook.functionName)
  }
  args.forEach((each, i) => argument(out, fields['args'], each, hook.labels[i] ?? ''))
  if (returned !== undefined) argument(out, fields['return'], returned, '')
  action(out, fields['action'], hook.action)
  text(out, fields['policy_name'], hook.policy)
  if (fields['return_action'] !== undefined) action(out, fields['return_action'], hook.returnAction)
  text(out, fields['message'], hook.message)
  for (const tag of hook.tags) out.tag(known(fields['tags']), WireType.LengthDelimited).string(tag)
  stack(out, fields['kernel_stack_trace'], made.kernelStack)
  stack(out, fields['user_stack_trace'], made.userStack)
  data.forEach((each, i) => argument(out, fields['data'], each, hook.dataLabels?.[i] ?? ''))
}

/** `field`: undefined for a message without stacks, of which there are no frames. */
function stack(out: BinaryWriter, field: number | undefined, frames: readonly StackFrame[] = []): void {
  if (field === undefined) return
  for (const { address, offset, symbol, module } of frames) {
    open(out, field)
    if (address !== 0n) out.tag(known(FRAME['address']), WireType.Varint).uint64(address)
    if (offset !== 0) out.tag(known(FRAME['offset']), WireType.Varint).uint64(offset)
    text(out, FRAME['symbol'], symbol)
    text(out, FRAME['module'], module)
    out.join()
  }
}

function action(out: BinaryWriter, field: number | undefined, name: string): void {
  const value = numberOf(KprobeActionSchema, `KPROBE_ACTION_${name.toUpperCase()}`)
  if (value !== 0) out.tag(known(field), WireType.Varint).int32(value)
}

function argument(out: BinaryWriter, at: number | undefined, each: Argument, label: string): void {
  const row = ARGUMENTS.get(each.field)
  open(out, at)
  if (row !== undefined) writeValue(out, row, each)
  text(out, LABEL, label)
  out.join()
}

/** A member of a oneof is written also when it is empty. */
function writeValue(out: BinaryWriter, { field, inner }: ArgumentField, each: Argument): void {
  switch (each.kind) {
    case 'file':
      open(out, field.number)
      text(out, inner['path'], each.path)
      text(out, inner['flags'], fileFlags(each))
      text(out, inner['permission'], permission(each.mode & 0xffff))
      out.join()
      return
    case 'error':
      open(out, field.number)
      text(out, inner['Message'], each.message)
      out.join()
      return
    case 'struct':
      open(out, field.number)
      if (field.message !== undefined) writeMembers(out, field.message, each.members)
      out.join()
      return
    case 'string':
      if (field.enum === undefined) out.tag(field.number, WireType.LengthDelimited).string(each.value)
      else out.tag(field.number, WireType.Varint).int32(numberOf(field.enum, each.value))
      return
    case 'bytes':
      if (each.field === 'bytes_arg') {
        out.tag(field.number, WireType.LengthDelimited).bytes(each.value)
        return
      }
      open(out, field.number)
      if (each.value.length > 0) out.tag(known(inner['bytes_arg']), WireType.LengthDelimited).bytes(each.value)
      if (each.size !== 0n) out.tag(known(inner['orig_size']), WireType.Varint).uint64(each.size)
      out.join()
      return
    case 'number':
      out.tag(field.number, WireType.Varint)
      if (field.scalar === ScalarType.INT32) out.int32(each.value)
      else out.uint32(each.value)
      return
    case 'wide':
      out.tag(field.number, WireType.Varint)
      if (field.scalar === ScalarType.INT64) out.int64(each.value)
      else out.uint64(each.value)
      return
    default:
      each satisfies never
  }
}
