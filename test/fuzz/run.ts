/**
 * `node test/fuzz/run.ts [--minutes N | --inputs N] [--only a,b] [--seed S] [--renew]`: fuzzes each entry point, one on each processor, for an
 * equal part of the time or with N inputs: a tenth by coverage, the rest by changes of what that kept. A crash, and an input that takes longer than
 * twenty seconds, are printed, and the exit code is 1. --renew writes what was found into corpus/.
 */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'
import { bytesOf, corpusOf, textOf, writeCorpus } from './corpus.ts'
import { fuzz, minimised } from './fuzz.ts'
import { MOST_BYTES } from './mutate.ts'
import { TARGETS } from './targets.ts'
import type { Target } from './target.ts'

const CHECK_MS = 1_000
/** Longest time of an input, in checks: a process that is stopped makes none. */
const INPUT_CHECKS = 20
/** The guided part of the inputs, or of the time. */
const GUIDED_SHARE = 0.1
/** The input that is running: its number, its length, its bytes. */
const HEAD_WORDS = 2
/** The length while no input runs. */
const NOTHING = -1

interface Job {
  readonly name: string
  readonly seed: number
  /** The entry point's end: a time, or a number of inputs. */
  readonly ms: number
  readonly inputs: number
  readonly renew: boolean
  /** Inputs that the guided part kept; absent in the guided part. */
  readonly kept?: readonly Uint8Array[]
  readonly running: SharedArrayBuffer
}

interface Report {
  readonly runs: number
  readonly functions: number
  readonly kept: readonly Uint8Array[]
  readonly crash?: { readonly input: string; readonly was: string }
}

const targetOf = (wanted: string): Target => {
  const target = TARGETS.find(({ name }) => name === wanted)
  if (target !== undefined) return target
  throw new Error(`expected one of ${TARGETS.map(({ name }) => name).join(', ')}, got "${wanted}"`)
}

/** In the worker. */
async function work({ name, seed, ms, inputs, renew, kept: earlier, running }: Job): Promise<Report> {
  const target = targetOf(name)
  const known = corpusOf(target)
  const head = new Int32Array(running, 0, HEAD_WORDS)
  const place = new Uint8Array(running, head.byteLength)
  const started = performance.now()
  const { runs, functions, kept, crash } = await fuzz(target, {
    seed,
    corpus:
      earlier?.map((input) => Buffer.from(input)) ??
      [...known.inputs, ...known.crashes.map(({ input }) => input)].map((input) => bytesOf(target, input)),
    guided: earlier === undefined,
    on: (tried) => tried < inputs && performance.now() - started < ms,
    watch: (input) => {
      if (input !== undefined) place.set(input.subarray(0, place.length))
      Atomics.store(head, 1, input === undefined ? NOTHING : Math.min(input.length, place.length))
      Atomics.add(head, 0, 1)
    },
  })
  if (crash !== undefined)
    return { runs, functions, kept, crash: { input: textOf(target, crash.input), was: crash.error.stack ?? '' } }
  if (renew && earlier === undefined) {
    // A text that is no UTF-8 would be another one in the corpus.
    const own = kept.filter((input) => bytesOf(target, textOf(target, input)).equals(input))
    const seeds = new Set((await target.seeds()).map((input) => input.toString('latin1')))
    const found = (await minimised(target, own)).filter((input) => !seeds.has(input.toString('latin1')))
    writeCorpus(target, { inputs: found.map((input) => textOf(target, input)), crashes: known.crashes })
  }
  return { runs, functions, kept }
}

type Part = Omit<Job, 'running' | 'kept'>

/** Runs both parts of a target. Returns whether nothing was found. */
async function fuzzed({ ms, inputs, ...job }: Part): Promise<boolean> {
  const guided = await supervised({ ...job, ms: ms * GUIDED_SHARE, inputs: inputs * GUIDED_SHARE })
  if (guided === undefined) return false
  const { runs, functions, kept } = guided
  console.log(`${job.name}: ${runs} inputs reach ${functions} functions, ${kept.length} inputs kept`)
  const rest = await supervised({ ...job, ms: ms * (1 - GUIDED_SHARE), inputs: inputs - runs, kept })
  if (rest === undefined) return false
  console.log(`${job.name}: ${runs + rest.runs} inputs in all`)
  return true
}

/** Runs a part in a thread of its own, which is ended if an input takes too long. Returns nothing if it found a crash. */
function supervised(job: Omit<Job, 'running'>): Promise<Report | undefined> {
  const running = new SharedArrayBuffer(HEAD_WORDS * 4 + MOST_BYTES * 2)
  const head = new Int32Array(running, 0, HEAD_WORDS)
  const worker = new Worker(new URL(import.meta.url), { workerData: { ...job, running } satisfies Job })
  return new Promise((resolve) => {
    let [number, checks] = [0, 0]
    const crashed = (input: string, was: string): void => {
      console.error(`${job.name}: crash: ${was}\n${job.name}: input: ${JSON.stringify(input)}`)
      console.error(
        `${job.name}: repair it, and add a row {"input", "was"} to crashes in test/fuzz/corpus/${job.name}.json`,
      )
    }
    const timer = setInterval(() => {
      const now = Atomics.load(head, 0)
      const length = Atomics.load(head, 1)
      if (now !== number || length === NOTHING) [number, checks] = [now, 0]
      else if (++checks === INPUT_CHECKS && now > 0) {
        const input = Buffer.from(new Uint8Array(running, head.byteLength, length))
        crashed(textOf(targetOf(job.name), input), `an input takes longer than ${INPUT_CHECKS * CHECK_MS} ms`)
        void worker.terminate()
      }
    }, CHECK_MS)
    worker.on('message', (report: Report) => {
      const { crash } = report
      if (crash !== undefined) crashed(crash.input, crash.was)
      resolve(crash === undefined ? report : undefined)
    })
    worker.on('error', (error) => {
      crashed('', `the thread ended: ${String(error)}`)
      resolve(undefined)
    })
    worker.on('exit', () => {
      clearInterval(timer)
      resolve(undefined)
    })
  })
}

if (isMainThread) {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string' },
      inputs: { type: 'string' },
      only: { type: 'string' },
      seed: { type: 'string', default: '1' },
      renew: { type: 'boolean', default: false },
    },
  })
  const seed = Number(values.seed)
  const minutes = Number(values.minutes ?? (values.inputs === undefined ? 30 : Infinity))
  const inputs = Number(values.inputs ?? Infinity)
  if (!(minutes > 0 && inputs > 0) || !Number.isSafeInteger(seed))
    throw new Error(
      `expected --minutes and --inputs above 0, and --seed as a whole number, got ${minutes}, ${inputs} and ${values.seed}`,
    )
  const names = values.only?.split(',') ?? TARGETS.map(({ name }) => name)
  names.forEach(targetOf)
  const atOnce = Math.min(names.length, availableParallelism())
  const ms = (minutes * 60_000 * atOnce) / names.length
  const left = names.values()
  const some = async (): Promise<void> => {
    // All of them, so that one run reports each.
    for (const name of left) if (!(await fuzzed({ name, seed, ms, inputs, renew: values.renew }))) process.exitCode = 1
  }
  await Promise.all(Array.from({ length: atOnce }, some))
} else {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  parentPort?.postMessage(await work(workerData as Job))
  // The inspector's session would keep the thread.
  process.exit()
}
