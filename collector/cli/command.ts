/** The type, arguments and output of all commands. */
import { parseArgs } from 'node:util'
import type { ParseArgsOptionDescriptor } from 'node:util'
import { EXIT_CONFIG } from '../../config/yaml/errors.ts'
import { didYouMean, meant } from '../../config/yaml/suggest.ts'
import { oneLine } from '../../config/base/quoting.ts'
import { takesValue } from './table/options.ts'
import type { OptionSpecs } from './table/options.ts'

/** Runs one command; resolves to the exit code. Rejects with UsageError for wrong arguments. */
export type Command = (given: Arguments, terminal: Terminal) => Promise<number>

/** Terminals with fewer columns get lines for this many. */
const COLUMNS_MIN = 40

/** The environment of a command; tests replace it. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Writes the answer to standard output. Resolves to false if the reader left; rejects for other write errors. */
  readonly print: (text: string | Uint8Array) => Promise<boolean>
  /** Writes one line to standard error. */
  readonly printError: (line: string) => void
  /** Milliseconds since 1970. */
  readonly nowMs: () => number
  /** Columns of the terminal; undefined if standard output is none. */
  readonly columns?: number | undefined
}

/** Wrong arguments. */
export class UsageError extends Error {
  /** The command that prints the matching help. */
  see: string | undefined

  constructor(message: string, see?: string) {
    super(message)
    this.see = see
  }
}

/** Exit code for wrong arguments. */
export const EXIT_USAGE = 2

/** EXIT_USAGE or EXIT_CONFIG if another try cannot succeed, so that a service manager makes none; else 1. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT_USAGE
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'CONFIG_INVALID' || code === 'POLICY_REFUSED' || code === 'EXPORTER_REFUSED' ? EXIT_CONFIG : 1
}

export const systemTerminal: Terminal = {
  env: process.env,
  print: printed,
  printError: (line) => console.error(oneLine(line)),
  nowMs: () => Date.now(),
  get columns() {
    const { columns = 0 } = process.stdout
    return columns > 0 ? Math.max(columns, COLUMNS_MIN) : undefined
  },
}

async function printed(text: string | Uint8Array): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const end = (error: Error | null | undefined): void => {
      if (error === null || error === undefined) resolve(true)
      else if ('code' in error && (error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED')) resolve(false)
      else reject(Object.assign(new Error(`cannot write to standard output: ${error.message}`), { code: 'STDOUT' }))
    }
    // The callback gets the error; without a listener it would also end the process.
    if (process.stdout.listenerCount('error') === 0) process.stdout.on('error', () => {})
    process.stdout.write(text, end)
  })
}

/** The read arguments of a command. */
export class Arguments {
  readonly positionals: readonly string[]
  readonly #values: Readonly<Record<string, string | boolean | undefined>>
  readonly #options: OptionSpecs

  constructor(
    values: Readonly<Record<string, string | boolean | undefined>>,
    positionals: readonly string[],
    options: OptionSpecs,
  ) {
    this.#values = values
    this.positionals = positionals
    this.#options = options
  }

  /** The value of an option; undefined if it was not given. */
  text(option: string): string | undefined {
    const value = this.#value(option)
    return typeof value === 'string' ? value : undefined
  }

  /** Whether an option without a value was given. */
  flag(option: string): boolean {
    return this.#value(option) === true
  }

  #value(option: string): string | boolean | undefined {
    if (!Object.hasOwn(this.#options, option)) throw new Error(`the table of commands has no option --${option} here`)
    return this.#values[option]
  }
}

/** Options of other commands, by name: the option with that purpose here, and its usage. */
const INSTEAD = new Map<string, readonly [option: string, usage: string]>([
  ['output', ['format', '-o FORMAT or --format FORMAT; --output is for files']],
  ['format', ['output', '--output PATH']],
  ['server', ['http', "--http ADDRESS: this command reads the agent's pages, not its API"]],
  ['http', ['server', "--server ADDRESS: this command uses the agent's API, not its pages"]],
])

/** Reads arguments. Throws UsageError for an option that the command does not have, and for one with a wrong value or without its value. */
export function readArguments(args: readonly string[], options: OptionSpecs): Arguments {
  const types = Object.entries(options).map(([name, spec]): [string, ParseArgsOptionDescriptor] => [
    name,
    { type: takesValue(spec) ? 'string' : 'boolean', ...(spec.short === undefined ? {} : { short: spec.short }) },
  ])
  // Not strict: the library's messages are meant for programmers.
  const { tokens, values, positionals } = parseArgs({
    args: [...args],
    options: Object.fromEntries(types),
    allowPositionals: true,
    strict: false,
    tokens: true,
  })
  const names = Object.keys(options).map((name) => `--${name}`)
  for (const token of tokens) {
    if (token.kind !== 'option') continue
    const { name, rawName, value, inlineValue = false } = token
    const spec = Object.hasOwn(options, name) ? options[name] : undefined
    if (spec === undefined) {
      const takes = names.length === 0 ? 'it takes no options' : `expected ${names.join(', ')}`
      // Tetragon's agent has its keys as options, too.
      const key = 'config' in options && name.includes('-') ? meant('key', name) : undefined
      const hint = key === undefined ? takes : `in the config, ${/^\w+$/.test(key) ? `write ${key}` : key}`
      const [own = '', usage] = INSTEAD.get(name) ?? []
      throw new UsageError(
        `no such option: ${rawName}${Object.hasOwn(options, own) ? `: use ${usage}` : didYouMean(rawName, names) || `; ${hint}`}`,
      )
    }
    if (!takesValue(spec)) {
      if (value !== undefined) throw new UsageError(`${rawName}: takes no value, got "${value}"`)
      continue
    }
    // An option in place of the value: the value is missing. A single - is a name for standard input or output.
    if (value === undefined || (!inlineValue && /^-./.test(value)))
      throw new UsageError(`${rawName}: expected a value after it`)
    if (rawName === '-n' && /^\d+$/.test(value)) {
      const count = 'tail' in options ? `; for the last events of a file, use --tail ${value}` : ''
      throw new UsageError(`-n: expected a Kubernetes namespace, because -n is --${name}, got "${value}"${count}`)
    }
    if (spec.choices?.includes(value) === false)
      throw new UsageError(`${rawName}: expected ${alternatives(spec.choices)}, got "${value}"`)
  }
  return new Arguments(values, positionals, options)
}

/** `a`, `a or b`, `a, b or c`. */
function alternatives(words: readonly string[]): string {
  const last = words.at(-1) ?? ''
  return words.length < 2 ? last : `${words.slice(0, -1).join(', ')} or ${last}`
}
