/**
 * `process` and `parent` of a JSON line. They are most of the line and nearly every event repeats them, so their bytes are
 * cached with the process. Only refcnt and tid differ between events; they follow the cached bytes.
 * Key order and omitted keys: docs/reference/records/process.md.
 */
import type { Executed, HookEvent, Members, MemberValue, Process, ProcessDetails } from '../contract/event.ts'
import { ByteWriter } from '../runtime/byte-writer.ts'
import { writeMembers } from './arguments.ts'
import { podJson } from './json-pod.ts'

const ascii = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'))
const PARENT = ascii(',"parent":')
const ANCESTORS = ascii(',"ancestors":[')
const COMMA = ascii(',')
const CLOSE_LIST = ascii(']')
const REFCNT = ascii(',"refcnt":')
const ONE_REFCNT = ascii(',"refcnt":1')
const TID = ascii(',"tid":')
const BINARY_PROPERTIES = ascii(',"binary_properties":{')
const ENVIRONMENT = ascii(',"environment_variables":[')
const END = ascii('}')
const IN_INIT_TREE = ascii(',"in_init_tree":true')
const NOT_IN_INIT_TREE = ascii(',"in_init_tree":false')
/** Details before the tid, after it, and after the binary. Processes with the same details share the bytes. */
const DETAILS: ReadonlyArray<ReadonlyArray<keyof ProcessDetails>> = [['cap', 'ns'], ['process_credentials'], ['user']]
const shownDetails = new WeakMap<ProcessDetails, readonly Uint8Array[]>()
/** Separate from the caller's writer, which has half a line when a process is rendered. */
const scratch = new ByteWriter()

/**
 * Writes a call's processes from `start` to the end of `parent`. Most calls of a process have the thread and refcnt of the call before: from the
 * second one on, all of it is one block.
 */
export function writeCaller(out: ByteWriter, start: Uint8Array, event: HookEvent): void {
  const { process, parent, refcnt, tid } = event
  const rendered = process.rendered.touch()
  const above = parent && parentOf(parent)
  const { caller } = rendered
  const same = caller?.start === start && caller.parent === above && caller.refcnt === refcnt && caller.tid === tid
  if (same && caller.bytes !== undefined) return out.bytes(caller.bytes)
  const from = out.length
  out.bytes(start)
  writeOwn(out, process, refcnt, tid)
  if (above !== undefined) out.bytes(above)
  if (same) rendered.keepCaller(out.since(from))
  else rendered.nextCaller({ start, parent: above, refcnt, tid })
}

/** Writes the object as an event's `process`; `executed` is in no other event, so it is not kept. */
export function writeOwn(out: ByteWriter, process: Process, refcnt: number, tid: number, executed?: Executed): void {
  const { arguments: words = process.arguments, flags = process.flags } = executed ?? {}
  const same = words === process.arguments && flags === process.flags
  out.bytes(same ? headOf(process) : render({ ...process, arguments: words, flags }))
  if (refcnt !== 0) {
    out.bytes(REFCNT)
    out.integer(refcnt)
  }
  writeTail(out, process, tid, executed)
}

/** Writes `,"ancestors":[…]`: each as a parent. */
export function writeAncestors(out: ByteWriter, ancestors: readonly Process[] | undefined): void {
  if (ancestors === undefined || ancestors.length === 0) return
  let separator = ANCESTORS
  for (const each of ancestors) {
    out.bytes(separator)
    out.bytes(parentOf(each).subarray(PARENT.length))
    separator = COMMA
  }
  out.bytes(CLOSE_LIST)
}

function writeTail(out: ByteWriter, process: Process, tid: number, executed?: Executed): void {
  const { details, inInitTree } = process
  const shown = details && detailsJson(details)
  if (shown?.[0] !== undefined) out.bytes(shown[0])
  out.bytes(TID)
  out.integer(tid)
  if (shown?.[1] !== undefined) out.bytes(shown[1])
  const properties = binaryProperties(process, executed)
  if (properties !== undefined) {
    out.bytes(BINARY_PROPERTIES)
    writeMembers(out, properties)
    out.bytes(END)
  }
  if (shown?.[2] !== undefined) out.bytes(shown[2])
  if (inInitTree !== undefined) out.bytes(inInitTree ? IN_INIT_TREE : NOT_IN_INIT_TREE)
  if (executed?.environment !== undefined) writeEnvironment(out, executed.environment)
  out.bytes(END)
}

/** Changes by the file of the exec, and Tetragon's mark of a binary without a name. undefined without both. */
export function binaryProperties({ unlinkedInode }: Process, executed?: Executed): Members | undefined {
  if (unlinkedInode === undefined) return executed?.raised
  const inode = new Map<string, MemberValue>([
    ['number', unlinkedInode],
    ['links', 0],
  ])
  return new Map([...(executed?.raised ?? []), ['file', new Map([['inode', inode]])]])
}

function writeEnvironment(out: ByteWriter, variables: NonNullable<Executed['environment']>): void {
  let separator = ENVIRONMENT
  for (const [name, value] of variables) {
    out.bytes(separator)
    separator = COMMA
    const members = [['Key', name] as const, ['Value', value] as const]
    out.utf8('{')
    writeMembers(
      out,
      members.filter(([, text]) => text !== ''),
    )
    out.bytes(END)
  }
  out.bytes(CLOSE_LIST)
}

function detailsJson(details: ProcessDetails): readonly Uint8Array[] {
  const known = shownDetails.get(details)
  if (known !== undefined) return known
  const out = new ByteWriter()
  const shown = DETAILS.map((keys) => {
    for (const key of keys) {
      const members = details[key]
      if (members === undefined) continue
      out.utf8(`,"${key}":{`)
      writeMembers(out, members)
      out.bytes(END)
    }
    return new Uint8Array(out.take())
  })
  shownDetails.set(details, shown)
  return shown
}

function headOf(process: Process): Uint8Array {
  const rendered = process.rendered.touch()
  return rendered.json ?? rendered.keep('json', render(process))
}

/**
 * `,"parent":` and the object, with Tetragon's refcnt for parents and its own pid as tid. It is the same in all events, so the whole
 * object is cached.
 */
export function parentOf(process: Process): Uint8Array {
  const rendered = process.rendered.touch()
  return rendered.jsonParent ?? rendered.keep('jsonParent', renderParent(process))
}

function renderParent(process: Process): Uint8Array {
  // First, because headOf uses this scratch writer too.
  const head = headOf(process)
  scratch.bytes(PARENT)
  scratch.bytes(head)
  if (process.forked === true) scratch.bytes(ONE_REFCNT)
  writeTail(scratch, process, process.pid)
  return taken()
}

/** From `{` up to refcnt and tid. */
function render(process: Process): Uint8Array {
  let separator = '{'
  const text = (key: string, value: string): void => {
    if (value === '') return
    scratch.utf8(`${separator}"${key}":`)
    scratch.json(value)
    separator = ','
  }
  text('exec_id', process.execId)
  const number = (key: string, value: number | undefined): void => {
    if (value === undefined) return
    scratch.utf8(`${separator}"${key}":${value}`)
    separator = ','
  }
  number('pid', process.pid)
  number('uid', process.uid)
  text('cwd', process.cwd)
  text('binary', process.binary)
  text('arguments', process.arguments)
  text('flags', process.flags)
  scratch.utf8(',"start_time":"')
  scratch.timestamp(process.startTime)
  scratch.utf8('"')
  number('auid', process.auid)
  const pod = podJson(process)
  if (pod !== '') scratch.utf8(`,"pod":${pod}`)
  text('docker', process.docker)
  text('parent_exec_id', process.parentExecId)
  return taken()
}

/** Copies the bytes out of Node's shared pool: a long-lived slice would keep the whole pool in memory. */
function taken(): Uint8Array {
  return new Uint8Array(scratch.take())
}
