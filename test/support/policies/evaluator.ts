/**
 * The events that a policy must report, computed plainly from docs/reference/policy/README.md: no index, no
 * first pass, nothing of the agent's. Texts are bytes as latin1, one character each, so that comparing texts compares bytes.
 */
import type { ArgumentDocument, DataDocument, FilterDocument, HookDocument, SelectorDocument } from './documents.ts'
import { WantedFiles, isIdentityOperator } from './identity.ts'
import type { FileLookup, Identity } from './identity.ts'
import { asBytes, fileTypeMatches, numberMatches, numberType, readAs, socketMatches, textMatches } from './operators.ts'
import type { NumberType, SocketFacts } from './operators.ts'
import { Changes, processMatches } from './process-filters.ts'
import type { ProcessFacts } from './process-filters.ts'
import type { Value } from './value.ts'

export interface Call {
  /** As policies name it. */
  readonly call: string
  /** By position in the prototype. */
  readonly args: readonly Value[]
  readonly returned: bigint
  /** The caller, for selectors and data that need it. */
  readonly caller?: ProcessFacts
  /** Set for a rename, which no hook is for: the renamed file or folder as it was before. */
  readonly moved?: Identity
  /** The process took its signals before: those of this call are not counted. */
  readonly late?: boolean
}

/** The parts of an event that are compared. */
export interface Report {
  readonly selector: number
  readonly args: readonly string[]
  readonly data: readonly string[]
  /** '' without `return: true`. */
  readonly returned: string
  readonly action: string
}

/** The event that a call must yield. */
export interface Prediction extends Report {
  /**
   * Selectors that may be reported, the right one last. There are others only for a path that is too long for a record:
   * the agent may have rejected a Prefix by the beginning of the path, or have passed it because it saw only the end.
   */
  readonly selectors: readonly number[]
  /** No selector matches the whole path, but one might match its end. */
  readonly optional: boolean
  /** The event may lack the action: whether it is carried out is unknown. */
  readonly uncertain: boolean
}

/** Whether this is the predicted event. */
export function accepts(prediction: Prediction, report: Report): boolean {
  const sameTexts = (one: readonly string[], other: readonly string[]): boolean =>
    one.length === other.length && one.every((text, i) => text === other[i])
  return (
    prediction.selectors.includes(report.selector) &&
    prediction.returned === report.returned &&
    (prediction.uncertain || prediction.action === report.action) &&
    sameTexts(prediction.args, report.args) &&
    sameTexts(prediction.data, report.data)
  )
}

/** The first bytes of texts and buffers, which records have and filters see. */
const BYTES_READ = 4095

/** Keys of records, by type. */
const FIELDS: Readonly<Record<string, string>> = {
  file: 'file_arg',
  fd: 'file_arg',
  path: 'path_arg',
  dentry: 'path_arg',
  string: 'string_arg',
  socket: 'sock_arg',
  sockaddr: 'sockaddr_arg',
}

/** Key and value as in a record; numbers in decimal. */
const shownNumber = ({ signed, bits }: NumberType, value: bigint): string =>
  `${signed ? (bits === 64 ? 'long' : 'int') : bits === 64 ? 'size' : 'uint'}_arg ${value}`

type ShownSocket = Pick<SocketFacts, 'family' | 'source' | 'sourcePort' | 'destination' | 'destinationPort'>

/** The parts of a socket that are compared. */
export function shownSocket(socket: ShownSocket): string {
  const { family, source, sourcePort, destination, destinationPort } = socket
  return `${family} ${source} ${sourcePort} ${destination} ${destinationPort}`
}

function shown(type: string, value: Value | undefined): string {
  const field = FIELDS[type] ?? ''
  switch (value?.kind) {
    case 'path':
      return `${field} ${value.text}${value.whole === undefined ? '' : ' [unresolved]'}`
    case 'text':
      return `${field} ${value.text}`
    case 'bytes': {
      const read = value.text.slice(0, BYTES_READ)
      const isWhole = read.length === value.text.length
      const base64 = Buffer.from(read, 'latin1').toString('base64')
      return `${isWhole ? 'bytes_arg' : 'truncated_bytes_arg'} ${base64} of ${value.text.length}`
    }
    case 'socket':
      return `${field} ${shownSocket(value.socket)}`
    case 'number': {
      const width = value.width ?? numberType(type) ?? { signed: false, bits: 64 }
      return shownNumber(width, readAs(width, value.value))
    }
    default:
      return 'error_arg'
  }
}

function valueOf({ index, resolve }: ArgumentDocument, call: Call): Value {
  const argument = call.args[index]
  if (argument === undefined) throw new Error(`${call.call} has no argument ${index}`)
  return resolve === undefined ? argument : (argument.members?.[resolve] ?? { kind: 'unreadable' })
}

function dataOf({ resolve }: DataDocument, { caller }: Call): Value {
  const value = caller?.data?.[resolve]
  if (value === undefined) throw new Error(`nothing is known of ${resolve}`)
  return value
}

type Knows = 'whole' | 'end'

/** One hook of a policy, and its memory of calls. */
export class HookModel {
  readonly #hook: HookDocument
  readonly #monitor: boolean
  readonly #files: ReadonlyMap<FilterDocument, WantedFiles>
  readonly #changes = new Changes()
  /** Calls that began a time without repeats. */
  readonly #limited = new Set<string>()
  /** Number of signals that a call brings its process, and the number of uncertain further ones. */
  readonly signals = new Map<Call, number>()
  readonly doubtful = new Map<Call, number>()

  /** `files`: the files at the paths of filters when the policy is loaded. */
  constructor(hook: HookDocument, { monitor = false, files = () => undefined }: HookModelOptions = {}) {
    this.#hook = hook
    this.#monitor = monitor
    const filters = (hook.selectors ?? []).flatMap(({ matchArgs = [] }) => matchArgs)
    this.#files = new Map(
      filters
        .filter(({ operator }) => isIdentityOperator(operator))
        .map((filter) => [filter, new WantedFiles(filter, files)]),
    )
  }

  /** The event for the next call; undefined if there must be none. */
  event(call: Call): Prediction | undefined {
    if (call.moved !== undefined) for (const wanted of this.#files.values()) wanted.move(call.moved)
    if (this.#hook.call !== call.call) return undefined
    const { args = [], data = [], selectors = [] } = this.#hook
    // The first one decides. Without selectors every call matches.
    const [first] = selectors.length === 0 ? [0] : this.#matching(call, 'whole')
    const possible = this.#matching(call, 'end').filter((selector) => first === undefined || selector < first)
    const accepted = first === undefined ? possible : [...possible, first]
    const selector = accepted.at(-1)
    if (selector === undefined) return undefined
    const document = selectors[selector] ?? {}
    if (call.caller !== undefined) this.#changes.matched(selector, call.caller)
    const shownArgs = args
      .filter(({ type }) => type !== 'nop')
      .map((argument) => shown(argument.type, valueOf(argument, call)))
    const shownData = data.map((each) => shown(each.type, dataOf(each, call)))
    const uncertain =
      selectors.some(({ matchActions = [] }) => matchActions.length > 0) && args.some((each) => isCut(each, call))
    const reports = this.#acts(selector, document, [...shownArgs, ...shownData], call, uncertain) || uncertain
    if (!reports || !this.#returnMatches(document, call)) return undefined
    return {
      selector,
      selectors: accepted,
      optional: first === undefined || uncertain,
      uncertain,
      args: shownArgs,
      data: shownData,
      returned: this.#returned(call),
      action: document.matchActions?.at(-1)?.action.toLowerCase() ?? 'post',
    }
  }

  #matching(call: Call, knows: Knows): number[] {
    const { args = [], data = [], selectors = [] } = this.#hook
    return selectors.flatMap((selector, i) => {
      const { caller } = call
      if (caller !== undefined && !processMatches(selector, this.#changes.since(i, selector, caller))) return []
      const { matchArgs = [], matchData = [] } = selector
      const argsMatch = matchArgs.every((filter) => {
        const [position] = filter.args ?? []
        const argument = position === undefined ? args.find(({ index }) => index === filter.index) : args[position]
        if (argument === undefined) throw new Error(`no argument for ${JSON.stringify(filter)}`)
        return this.#filterMatches(filter, argument.type, valueOf(argument, call), knows)
      })
      const dataMatch = matchData.every((filter) => {
        const each = data[filter.index ?? 0]
        if (each === undefined) throw new Error(`no data for ${JSON.stringify(filter)}`)
        return this.#filterMatches(filter, each.type, dataOf(each, call), knows)
      })
      return argsMatch && dataMatch ? [i] : []
    })
  }

  #filterMatches(filter: FilterDocument, type: string, value: Value, knows: Knows): boolean {
    const { operator, values = [] } = filter
    switch (value.kind) {
      case 'unreadable':
        return false
      case 'number': {
        const declared = numberType(type)
        if (declared === undefined) throw new Error(`${type} is no type of a number`)
        return numberMatches(operator, readAs(value.width ?? declared, value.value), values)
      }
      case 'socket':
        return socketMatches(operator, value.socket, values)
      case 'path': {
        const wanted = this.#files.get(filter)
        if (wanted !== undefined) return wanted.has(value.identity)
        if (operator.endsWith('FileType')) return fileTypeMatches(operator, value.fileType, values)
        // A file without a path matches no operator on texts, the negative ones included.
        if (value.text === '') return false
        const whole = knows === 'end' && value.whole !== undefined ? undefined : (value.whole ?? value.text)
        return textMatches(operator, value.text, values.map(asBytes), whole)
      }
      case 'text':
      case 'bytes': {
        const seen = value.text.slice(0, BYTES_READ)
        return textMatches(operator, seen, values.map(asBytes), seen)
      }
    }
  }

  /** Carries out the actions of a matching call; returns whether the call has an event. `uncertain`: perhaps not. */
  #acts(
    selector: number,
    { matchActions = [] }: SelectorDocument,
    values: readonly string[],
    call: Call,
    uncertain: boolean,
  ): boolean {
    let reports = true
    const pid = call.caller?.pid ?? 0
    const signals = uncertain ? this.doubtful : this.signals
    for (const { action, rateLimit, rateLimitScope = 'thread' } of matchActions) {
      if (action === 'NoPost') reports = false
      if (action === 'Signal' && !this.#monitor && call.late !== true) signals.set(call, (signals.get(call) ?? 0) + 1)
      if (rateLimit === undefined) continue
      // Processes have one thread.
      const key = JSON.stringify([selector, rateLimitScope === 'global' ? 0 : pid, values])
      if (this.#limited.has(key)) reports = false
      this.#limited.add(key)
    }
    return reports
  }

  #returnMatches({ matchReturnArgs = [] }: SelectorDocument, { returned }: Call): boolean {
    const type = numberType(this.#hook.returnArg?.type ?? 'int')
    return matchReturnArgs.every(
      ({ operator, values = [] }) => type !== undefined && numberMatches(operator, readAs(type, returned), values),
    )
  }

  #returned({ returned }: Call): string {
    const { return: wanted, returnArg } = this.#hook
    const type = wanted === true && returnArg !== undefined ? numberType(returnArg.type) : undefined
    return type === undefined ? '' : shownNumber(type, readAs(type, returned))
  }
}

export interface HookModelOptions {
  readonly monitor?: boolean
  readonly files?: FileLookup
}

/** Whether only the end of the path is known. */
function isCut(argument: ArgumentDocument, call: Call): boolean {
  const value = valueOf(argument, call)
  return value.kind === 'path' && value.whole !== undefined
}

/** The event of this hook for this call alone; undefined if there must be none. */
export function predicted(hook: HookDocument, call: Call): Prediction | undefined {
  return new HookModel(hook).event(call)
}
