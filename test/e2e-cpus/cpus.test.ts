/** All CPUs of a large guest make hits at once, with a policy that users run (make cpus). A guest's CPUs take turns on one of the machine. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { test } from 'node:test'
import { TestAgent, cannotRun } from '../e2e/support/agent.ts'
import { accessOf, audited, balanced, burst, countLines, cpuMs, report } from '../e2e/support/faults.ts'
import { perCpuBytes } from '../support/measure/bpf-memory.ts'

const POLICY = new URL('../../config/policies/optional/file-monitoring.yaml', import.meta.url)
const FILE = '/etc/hostname'
const CPUS = availableParallelism()
/** The ring has room for the records of all: 170 bytes each. */
const HITS = CPUS > 8 ? 1_000 : 5_000
/** Most memory of the kernel for each CPU. */
const MOST_BYTES = 64 << 10
const PAGES = 5

test(`${CPUS} CPUs: every hit of a burst from all of them is an event`, { skip: cannotRun() }, async () => {
  const began = performance.now()
  await using agent = await TestAgent.start({ policies: { 'p.yaml': readFileSync(POLICY, 'utf8') }, readyMs: 600_000 })
  const startMs = performance.now() - began
  const bytes = perCpuBytes(agent.pid)
  const inFile = (): number => countLines(`${agent.folder}/events.jsonl`, accessOf(FILE))
  await agent.settled()
  const earlier = inFile()
  const cpu = cpuMs(agent.pid)
  const bursts = Array.from({ length: CPUS }, (_, i) => burst(['pread', FILE, HITS, 1], ['taskset', '-c', `${i}`]))
  const ms = Math.max(...(await Promise.all(bursts)).map((each) => each.ms))
  await audited(agent)
  await agent.settled()
  const used = cpuMs(agent.pid) - cpu
  const events = inFile() - earlier
  const before = cpuMs(agent.pid)
  for (let i = 0; i < PAGES; i++) await agent.metrics()
  report(`a burst from ${CPUS} CPUs`, {
    hits: CPUS * HITS,
    events,
    'hits/s made': (CPUS * HITS * 1000) / ms,
    'agent CPU, µs each': (used * 1000) / (CPUS * HITS),
    'kernel memory, bytes a CPU': bytes,
    'start, ms': startMs,
    'a page of metrics, ms': (cpuMs(agent.pid) - before) / PAGES,
  })
  assert.deepEqual((await agent.metrics()).losses(), [])
  assert.equal(events, CPUS * HITS)
  assert.ok(bytes > 0 && bytes <= MOST_BYTES, `expected at most ${MOST_BYTES} bytes a CPU, got ${bytes}`)
  await balanced(agent)
  assert.deepEqual(await agent.stop(), { code: 0, signal: null })
})
