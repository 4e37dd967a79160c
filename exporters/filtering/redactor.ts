/**
 * Redacts events before encoding, so that no encoding contains redacted text. A process is rewritten once and the copy cached
 * with it. Events and processes without redacted text stay the same objects and keep their cached encodings.
 */
import { changed, isAboutAgent, isHookEvent } from '../contract/event.ts'
import type { Argument, Event, Executed, Process, StackFrame } from '../contract/event.ts'
import type { RedactConfig } from '../../config/agent/schema.ts'
import type { Encoded, Encoder } from '../contract/exporter.ts'
import { redactArgument } from './redact-argument.ts'
import { Redaction } from './redaction.ts'
import { placeMatcher } from './place.ts'
import { regexMatcher } from './regexes.ts'

/** Approximate memory of a redacted copy of a process, without its texts. */
const REDACTED_BYTES = 600
/** Limits of the cache of redacted paths. */
const MAX_PATHS = 4096
const MAX_PATH_CHARACTERS = 1 << 20

interface Rule {
  readonly redact: readonly Redaction[]
  readonly paths: readonly Redaction[]
  readonly isFor: (process: Process) => boolean
}

/** The redacted process, the same object if nothing is redacted. */
interface Redacted {
  readonly process: Process
  /** The rules for this process. */
  readonly rules: readonly Rule[]
  /** Rules on the paths of its events. */
  readonly paths: PathRules
}

/** The path expressions for some processes, with a cache of their results. */
interface PathRules {
  readonly regexes: readonly Redaction[]
  readonly known: Map<string, string>
  /** In all entries of `known`. */
  characters: number
}

export class Redactor {
  readonly #rules: readonly Rule[]
  /** By `Rendered.key`. */
  readonly #processes = new WeakMap<object, Redacted>()
  /** By indexes of the applicable rules. */
  readonly #paths = new Map<string, PathRules>()
  #events: readonly Event[] = []
  #first: Event | undefined
  #last: Event | undefined
  #redacted: readonly Event[] = []

  /** `warn` receives warnings about slow regular expressions. Throws ExportError UNUSABLE for rules that the config would refuse. */
  constructor(rules: readonly RedactConfig[], warn: (problem: string) => void) {
    const compile = (patterns: readonly string[]): Redaction[] =>
      patterns.map((pattern) => new Redaction(pattern, warn))
    this.#rules = rules.map(({ redact = [], paths = [], binary_regex: binaries, ...place }) => {
      const isBinary = binaries === undefined ? (): boolean => true : regexMatcher(binaries)
      const isThere = placeMatcher(place)
      return {
        redact: compile(redact),
        paths: compile(paths),
        isFor: (process): boolean => isBinary(process.binary) && isThere(process),
      }
    })
  }

  /** The redacted events. A repeated slice gives the array again, so that encoders can share their result. */
  events(events: readonly Event[]): readonly Event[] {
    // Compares events too, because a caller may reuse the array.
    const same = events === this.#events && events[0] === this.#first && events.at(-1) === this.#last
    if (same && events.length === this.#redacted.length) return this.#redacted
    this.#events = events
    this.#first = events[0]
    this.#last = events.at(-1)
    return (this.#redacted = events.map((event) => this.#event(event)))
  }

  #event(event: Event): Event {
    if (isAboutAgent(event)) return event
    const own = this.#process(event.process)
    const parent = event.parent && this.#process(event.parent).process
    const ancestors = event.ancestors && changedList(event.ancestors, (each) => this.#process(each).process)
    const processes = { process: own.process, parent, ...(ancestors && { ancestors }) }
    const same = own.process === event.process && parent === event.parent && ancestors === event.ancestors
    if (event.type === 'process_exec' && event.executed !== undefined) {
      const executed = redactExecuted(event.executed, own.rules)
      return same && executed === event.executed ? event : { ...event, ...processes, executed }
    }
    if (!isHookEvent(event)) return same ? event : { ...event, ...processes }
    if (own.paths.regexes.length === 0) return same ? event : changed(event, processes)
    const shown = (argument: Argument): Argument => redactArgument(argument, redactPath, own.paths)
    const args = changedList(event.args, shown)
    const data = event.data && changedList(event.data, shown)
    const returned = event.returned && shown(event.returned)
    const userStack = event.userStack && changedList(event.userStack, (frame) => redactFrame(frame, own.paths))
    const sameValues = args === event.args && data === event.data && returned === event.returned
    if (same && sameValues && userStack === event.userStack) return event
    return { ...event, ...processes, args, ...(data && { data }), ...(userStack && { userStack }), returned }
  }

  #process(process: Process): Redacted {
    const rendered = process.rendered.touch()
    let known = this.#processes.get(rendered.key)
    if (known === undefined) {
      known = this.#redact(process)
      const { arguments: text, argv, cwd, binary } = known.process
      const texts = known.process === process ? 0 : 2 * (text.length + argv.length + cwd.length + binary.length)
      rendered.charge(REDACTED_BYTES + texts)
      this.#processes.set(rendered.key, known)
    }
    return known
  }

  #redact(process: Process): Redacted {
    let { arguments: text, cwd, binary } = process
    const [first = ''] = process.argv.split('\0', 1)
    let name = first
    const applying: number[] = []
    for (const [i, { redact, paths, isFor }] of this.#rules.entries()) {
      if (!isFor(process)) continue
      applying.push(i)
      text = redactText(text, redact)
      text = redactText(text, paths)
      name = redactText(redactText(name, redact), paths)
      cwd = redactText(cwd, paths)
      binary = redactText(binary, paths)
    }
    const paths = this.#pathRules(applying)
    const same = text === process.arguments && name === first
    const rules = applying.flatMap((i) => this.#rules[i] ?? [])
    if (same && cwd === process.cwd && binary === process.binary) return { process, rules, paths }
    const rendered = process.rendered.copy()
    // Only the joined text is searched, and a match may span words: the words are taken from the result.
    const argv = same ? process.argv : name
    return { process: { ...process, arguments: text, argv, cwd, binary, rendered }, rules, paths }
  }

  #pathRules(applying: readonly number[]): PathRules {
    const key = applying.join()
    let rules = this.#paths.get(key)
    if (rules === undefined) {
      rules = { regexes: applying.flatMap((i) => this.#rules[i]?.paths ?? []), known: new Map(), characters: 0 }
      this.#paths.set(key, rules)
    }
    return rules
  }
}

/** Wraps an encoder so that it only receives redacted events. */
export function redacting(encoder: Encoder, redactor: Redactor): Encoder {
  return {
    encoding: encoder.encoding,
    encode: (events): Encoded => encoder.encode(redactor.events(events)),
  }
}

/** Variables are searched as `name=value`, as in Tetragon. Returns `executed` if nothing is. */
function redactExecuted(executed: Executed, rules: readonly Rule[]): Executed {
  const show = (text: string): string =>
    rules.reduce((shown, { redact, paths }) => redactText(redactText(shown, redact), paths), text)
  const { arguments: words, environment } = executed
  const shown = words === undefined ? words : show(words)
  const variables =
    environment &&
    changedList<readonly [string, string]>(environment, (variable) => {
      const text = variable.join('=')
      const without = show(text)
      if (without === text) return variable
      const equals = without.indexOf('=')
      return equals === -1 ? ['', without] : [without.slice(0, equals), without.slice(equals + 1)]
    })
  if (shown === words && variables === environment) return executed
  return {
    ...executed,
    ...(shown === undefined ? {} : { arguments: shown }),
    ...(variables && { environment: variables }),
  }
}

/** The list with each member changed; the same list if none is. */
function changedList<T>(list: readonly T[], change: (each: T) => T): readonly T[] {
  const made = list.map(change)
  return made.every((each, i) => each === list[i]) ? list : made
}

function redactText(text: string, regexes: readonly Redaction[]): string {
  let result = text
  for (const regex of regexes) result = regex.redact(result)
  return result
}

function redactFrame(frame: StackFrame, rules: PathRules): StackFrame {
  const module = redactPath(frame.module, rules)
  return module === frame.module ? frame : { ...frame, module }
}

function redactPath(path: string, rules: PathRules): string {
  const { known } = rules
  let result = known.get(path)
  if (result !== undefined) return result
  result = redactText(path, rules.regexes)
  rules.characters += path.length + result.length
  if (known.size >= MAX_PATHS || rules.characters > MAX_PATH_CHARACTERS) {
    known.clear()
    rules.characters = path.length + result.length
  }
  known.set(path, result)
  return result
}
