/**
 * The reader of the ring sleeps without a timer: every record must find it awake or wake it, but not every record may cost a wakeup. The agent's
 * housekeeping is off, because it would find a record that woke no reader.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { parsePolicy } from '../../../config/policy/parse.ts'
import { decodeChunk } from '../../../collector/wire/decode.ts'
import { chunks } from '../../../collector/ingest/source.ts'
import { readKernelFacts } from '../../../collector/kernel/read-facts.ts'
import { KernelSide } from '../../../collector/kernel/kernel-side.ts'
import { Workloads } from '../../../collector/identity/workloads.ts'
import { bootTime, kernelFunctions, kernelSymbols, realTime } from '../../../native/index.ts'
import { cannotRun, freshFolder } from '../support/agent.ts'
import { fileHook, path, policy } from '../support/policy.ts'

const MAX_DELAY_MS = 50
/** An emulated processor that others use too can be late by this much. */
const LATE_MS = 450
const WATERMARK_BYTES = 1 << 20
const READERS = 2

interface Load {
  readonly name: string
  readonly reads: number
  /** Perl: between two reads. */
  readonly pause: string
}

/** Pauses around the time that the reader needs to fall asleep, around its delay, and none. */
const LOADS: readonly Load[] = [
  { name: 'one at a time, as the reader falls asleep', reads: 4000, pause: 'select(undef, undef, undef, rand 0.002)' },
  { name: 'about as rare as the delay', reads: 100, pause: 'select(undef, undef, undef, rand 0.15)' },
  { name: 'as fast as they come', reads: 20_000, pause: '' },
]

interface Seen {
  records: number
  longestMs: number
  wakeups: number
  reads: number
}

async function read(kernel: KernelSide, want: number, tgids: ReadonlySet<number>): Promise<Seen> {
  const seen: Seen = { records: 0, longestMs: 0, wakeups: 0, reads: 0 }
  const stop = new AbortController()
  const startNs = bootTime()
  const watch = (wake: () => void): Disposable =>
    kernel.watch(() => {
      seen.wakeups++
      wake()
    })
  const options = { ring: kernel.ring, watch, maxDelayMs: MAX_DELAY_MS, watermarkBytes: WATERMARK_BYTES }
  for await (const chunk of chunks(options, stop.signal)) {
    const now = bootTime()
    seen.reads++
    decodeChunk(chunk, (raw) => {
      const atNs = BigInt(raw.sec) * 1_000_000_000n + BigInt(raw.nsec)
      // Earlier records came while no reader ran.
      if (atNs >= startNs) seen.longestMs = Math.max(seen.longestMs, Number(now - atNs) / 1e6)
      if (raw.op === 'hook' && tgids.has(raw.tgid)) seen.records++
    })
    if (seen.records === want) stop.abort()
  }
  return seen
}

describe('wakeups', { skip: cannotRun() }, () => {
  let file = ''
  let kernel: KernelSide

  before(async () => {
    file = join(freshFolder('wakeups'), 'f')
    writeFileSync(file, 'x')
    const parsed = parsePolicy(policy('wakeups', [fileHook([path('Equal', file)])]), 'wakeups.yaml')
    assert.ok('policy' in parsed)
    kernel = await KernelSide.open({
      facts: await readKernelFacts(kernelSymbols, kernelFunctions, realTime),
      workloads: new Workloads(undefined),
      mode: 'auto',
      ringBytes: 16 << 20,
      watermarkBytes: WATERMARK_BYTES,
      agentPid: process.pid,
    })
    const [loaded] = await kernel.policies.change([], [parsed.policy])
    assert.ok(loaded !== undefined && loaded.hooks.length > 0)
  })
  after(() => kernel?.[Symbol.dispose]())

  for (const { name, reads, pause } of LOADS) {
    test(
      `wakeups: every record is read in time, and few wake the reader: ${name}`,
      { timeout: 120_000 },
      async (context) => {
        const script = `open my $f, "<", $ARGV[0] or die; for (1..${reads}) { sysread $f, my $b, 1; ${pause} }`
        const children = Array.from({ length: READERS }, () =>
          spawn('perl', ['-e', script, file], { stdio: 'inherit' }),
        )
        const tgids = new Set(children.map(({ pid }) => pid ?? 0))
        const startMs = performance.now()
        const ends = children.map((child) => once(child, 'exit'))
        const { records, longestMs, wakeups, reads: taken } = await read(kernel, READERS * reads, tgids)
        const seconds = (performance.now() - startMs) / 1000
        for (const [code] of await Promise.all(ends)) assert.equal(code, 0)
        context.diagnostic(
          `${records} records in ${seconds.toFixed(1)} s: ${wakeups} wakeups, ${taken} reads, longest wait ${longestMs.toFixed(1)} ms`,
        )
        assert.equal(kernel.counts().counters.ring_full_hook, 0)
        // The reader may need longer than the burst.
        if (pause !== '') assert.ok(longestMs <= MAX_DELAY_MS + LATE_MS, `a record waited ${longestMs} ms`)
        // One wakeup at the first record after each sleep, and a few more while the reader catches up with the writers.
        const most = Math.ceil((seconds * 1000) / MAX_DELAY_MS) * 4 + records / 20
        assert.ok(wakeups <= most, `${wakeups} wakeups, expected at most ${most}`)
      },
    )
  }
})
