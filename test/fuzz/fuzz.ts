/**
 * Fuzzes one target: first by coverage, so that inputs that reach new code are kept and changed further; then without, several times as fast, by
 * changes of what was kept.
 */
import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Seeded } from '../simulation/spool/random.ts'
import { Coverage } from './coverage.ts'
import { mutated } from './mutate.ts'
import type { Target } from './target.ts'

const ROOT = new URL('../../', import.meta.url).href

/** Runs between two looks at the coverage. A look takes as long as some ten runs, and sets the counts to zero. */
const BATCH = 1024
/** Smaller inputs that are tried for a crash. */
const SHRINKS = 2_000

export interface Crash {
  readonly input: Buffer
  readonly error: Error
}

export interface Fuzzed {
  readonly runs: number
  /** Functions that ran at least once. */
  readonly functions: number
  /** Inputs that reach code that no smaller one before them reaches. */
  readonly kept: readonly Buffer[]
  readonly crash?: Crash
}

export interface Options {
  readonly seed: number
  /** Inputs of the corpus. */
  readonly corpus: readonly Buffer[]
  /** Whether coverage is measured. Code that ran with it stays slow in its thread. */
  readonly guided: boolean
  /** Whether to go on. */
  readonly on: (runs: number) => boolean
  /** Gets each input before it runs, and nothing after that. */
  readonly watch?: (running: Buffer | undefined) => void
}

export async function fuzz(target: Target, { seed, corpus, guided, on, watch }: Options): Promise<Fuzzed> {
  const random = new Seeded(seed)
  const isOurs = (url: string): boolean => url.startsWith(ROOT) && target.covers.test(url.slice(ROOT.length))
  using coverage = guided ? new Coverage(isOurs) : undefined
  const kept: Buffer[] = []
  let runs = 0

  const crashOf = async (input: Buffer): Promise<Error | undefined> => {
    watch?.(input)
    runs++
    try {
      await target.run(input)
      return undefined
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error))
    } finally {
      watch?.(undefined)
    }
  }
  /** Keeps those of some inputs that reach new code, each found by halves. Returns the first crash. */
  const tried = async (inputs: readonly Buffer[]): Promise<Crash | undefined> => {
    for (const input of inputs) {
      const error = await crashOf(input)
      if (error !== undefined) return { input, error }
    }
    const [only] = inputs
    if (only === undefined || coverage?.fresh(inputs.length === 1) !== true) return undefined
    if (inputs.length === 1) return void kept.push(only)
    const half = inputs.length >> 1
    return (await tried(inputs.slice(0, half))) ?? (await tried(inputs.slice(half)))
  }
  const shrunk = async ({ input, error }: Crash): Promise<Crash> => {
    let smallest: Crash = { input, error }
    for (let i = 0, size = input.length >> 1; size > 0 && i < SHRINKS; size >>= 1) {
      for (let at = 0; at < smallest.input.length && i < SHRINKS; i++) {
        const less = Buffer.concat([smallest.input.subarray(0, at), smallest.input.subarray(at + size)])
        const same = await crashOf(less)
        if (same === undefined) at += size
        else smallest = { input: less, error: same }
      }
    }
    return smallest
  }

  const known = [...(await target.seeds()), ...corpus].toSorted((a, b) => a.length - b.length)
  let crash = await tried(known)
  const pick = (): Buffer => random.pick(kept.length > 0 && random.chance(0.8) ? kept : known) ?? Buffer.alloc(0)
  while (crash === undefined && on(runs)) {
    // Lets Node free memory, which it does not while only promises run.
    await setImmediate()
    crash = await tried(Array.from({ length: BATCH }, () => mutated(pick(), pick(), target.words, random)))
  }
  const result = { runs, functions: coverage?.functions ?? 0, kept }
  return crash === undefined ? result : { ...result, crash: await shrunk(crash) }
}

/** The smallest part of some inputs, small ones first, that reaches all that they reach. */
export async function minimised(target: Target, inputs: readonly Buffer[]): Promise<readonly Buffer[]> {
  const { kept, crash } = await fuzz(target, { seed: 1, corpus: inputs, guided: true, on: () => false })
  if (crash !== undefined) throw crash.error
  return kept
}

export const rootPath: string = fileURLToPath(ROOT)
