/** What all commands share: their type, arguments and output. */
import { parseArgs } from 'node:util'
import { configOrThrow, parseConfigFile } from '../../config/agent/check.ts'
import type { LoadedConfig } from '../../config/agent/load.ts'
import { didYouMean } from '../../config/yaml/suggest.ts'
import { oneLine } from '../../config/yaml/quoting.ts'

/** Runs one command; resolves to the exit code. Rejects with UsageError for wrong arguments. */
export type Command = (args: readonly string[], terminal: Terminal) => Promise<number>

/** The environment of a command; tests replace it. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Writes the answer to standard output. Resolves to false when the reader has gone; rejects for other write errors. */
  readonly print: (text: string | Uint8Array) => Promise<boolean>
  /** Writes one line to standard error. */
  readonly printError: (line: string) => void
  /** Milliseconds since 1970. */
  readonly nowMs: () => number
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

export const systemTerminal: Terminal = {
  env: process.env,
  print: printed,
  printError: (line) => console.error(oneLine(line)),
  nowMs: () => Date.now(),
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

/** Options that a command takes, by name. */
export type OptionTypes = Readonly<Record<string, { readonly type: 'string' | 'boolean'; readonly short?: string }>>

export interface Arguments {
  readonly values: Readonly<Record<string, string | boolean | undefined>>
  readonly positionals: readonly string[]
}

/** Reads arguments. Throws UsageError for an option that the command does not have, or one without its value. */
export function readArguments(args: readonly string[], options: OptionTypes): Arguments {
  // Not strict: the library's messages are meant for programmers.
  const { tokens, values, positionals } = parseArgs({
    args: [...args],
    options,
    allowPositionals: true,
    strict: false,
    tokens: true,
  })
  const names = Object.keys(options).map((name) => `--${name}`)
  for (const token of tokens) {
    if (token.kind !== 'option') continue
    const { name, rawName, value, inlineValue = false } = token
    const type = Object.hasOwn(options, name) ? options[name]?.type : undefined
    if (type === undefined) {
      const takes = names.length === 0 ? 'it takes none' : `expected ${names.join(', ')}`
      throw new UsageError(`no such option: ${rawName}${didYouMean(rawName, names) || `; ${takes}`}`)
    }
    if (type === 'boolean' && value !== undefined) throw new UsageError(`${rawName}: takes no value, got "${value}"`)
    // An option in place of the value: the value is missing.
    if (type === 'string' && (value === undefined || (!inlineValue && value.startsWith('-'))))
      throw new UsageError(`${rawName}: expected a value after it`)
  }
  return { values, positionals }
}

/** The option of every command that reads the config. */
export const CONFIG_OPTION = { config: { type: 'string' } } as const

/** The config file given to a command, or the one shipped with ktrail. */
export function configFile({ values }: Arguments): string {
  return String(values['config'] ?? new URL('../../config/ktrail.yaml', import.meta.url).pathname)
}

/** The config given to a command. Throws ConfigError. */
export async function readConfig(args: Arguments, { env }: Pick<Terminal, 'env'>): Promise<LoadedConfig> {
  return configOrThrow(await parseConfigFile(configFile(args), env))
}
