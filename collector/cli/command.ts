/** What the commands have in common: how they are called, read their arguments and answer. */
import { parseArgs } from 'node:util'
import { configOrThrow, parseConfigFile } from '../../config/agent/check.ts'
import type { LoadedConfig } from '../../config/agent/load.ts'
import { didYouMean } from '../../config/yaml/suggest.ts'
import { oneLine } from '../../config/yaml/quoting.ts'

/** Does one command of the command line; resolves to the exit code. Rejects with UsageError for arguments that are wrong. */
export type Command = (args: readonly string[], terminal: Terminal) => Promise<number>

/** The world of a command, for tests to replace. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>
  /** The answer: to standard output. Rejects when it cannot be written; false when nobody reads it any more. */
  readonly print: (text: string | Uint8Array) => Promise<boolean>
  /** About the answer: one line to standard error. */
  readonly printError: (line: string) => void
  /** Milliseconds since 1970. */
  readonly nowMs: () => number
}

/** Arguments that make no sense; the message is a sentence. */
export class UsageError extends Error {
  /** What to type to learn more. */
  see: string | undefined

  constructor(message: string, see?: string) {
    super(message)
    this.see = see
  }
}

/** What a command that is called wrongly exits with. */
export const EXIT_USAGE = 2

/** The process's own. */
export const systemTerminal: Terminal = {
  env: process.env,
  print: printed,
  printError: (line) => console.error(oneLine(line)),
  nowMs: () => Date.now(),
}

/** A reader that has gone away wants no more; any other failure is one, also for the exit code. */
async function printed(text: string | Uint8Array): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const end = (error: Error | null | undefined): void => {
      if (error === null || error === undefined) resolve(true)
      else if ('code' in error && (error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED')) resolve(false)
      else reject(Object.assign(new Error(`cannot write to standard output: ${error.message}`), { code: 'STDOUT' }))
    }
    // The callback has it already; unheard, it would end the process.
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
  // Not strict: the library's own messages are for programmers.
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
    // An option in place of the value: that was left out.
    if (type === 'string' && (value === undefined || (!inlineValue && value.startsWith('-'))))
      throw new UsageError(`${rawName}: expected a value behind it`)
  }
  return { values, positionals }
}

/** The option of every command that reads the config. */
export const CONFIG_OPTION = { config: { type: 'string' } } as const

/** The config file given to a command, or the one that comes with this program. */
export function configFile({ values }: Arguments): string {
  return String(values['config'] ?? new URL('../../config/ktrail.yaml', import.meta.url).pathname)
}

/** The config given to a command. Throws ConfigError. */
export async function readConfig(args: Arguments, { env }: Pick<Terminal, 'env'>): Promise<LoadedConfig> {
  return configOrThrow(await parseConfigFile(configFile(args), env))
}
