/** The consumers of docs/consumers with a real broker: each finds the missing records, and none where none are missing. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { KafkaRecord } from '../../../exporters/sinks/kafka/client/record-batch.ts'
import { numberedRun, writeRecords } from '../../support/kafka/numbered.ts'
import { withCluster } from '../../support/kafka/rig.ts'
import { SKIP_LONG } from '../../support/long.ts'

const ROOT = path.resolve(import.meta.dirname, '../../..')
const CONSUMERS = path.join(ROOT, 'docs/consumers')
/** Build results that are kept between runs. */
const CACHE = path.join(ROOT, 'node_modules/.ktrail')
const FETCH_MS = 120_000
const READ_MS = 60_000

interface Ran {
  readonly code: number
  readonly out: string
  readonly errors: string
}

function run(program: string, args: readonly string[], timeout: number, cwd = ROOT): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(program, args, { timeout, cwd }, (error, out, errors) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 127
      resolve({ code, out, errors: errors || (error?.message ?? '') })
    })
  })
}

/** The command of a consumer, or why it cannot run here. */
const KINDS: Readonly<Record<string, () => Promise<readonly string[] | string>>> = {
  typescript: async () => [process.execPath, path.join(CONSUMERS, 'audit.ts')],
  python: async () => {
    const python = path.join(CACHE, 'consumer-venv/bin/python')
    if (!existsSync(python)) {
      const made = await run('python3', ['-m', 'venv', path.dirname(path.dirname(python))], FETCH_MS)
      if (made.code !== 0) return `python3 -m venv: ${made.errors.slice(0, 300)}`
    }
    const fetched = await run(python, ['-m', 'pip', 'install', '-q', 'confluent-kafka==2.12.1'], FETCH_MS)
    return fetched.code === 0 ? [python, path.join(CONSUMERS, 'audit.py')] : `pip: ${fetched.errors.slice(0, 300)}`
  },
  go: async () => {
    const binary = path.join(CACHE, 'consumer-go')
    const built = await run('go', ['build', '-o', binary, '.'], FETCH_MS, path.join(CONSUMERS, 'go'))
    return built.code === 0 ? [binary] : `go build: ${built.errors.slice(0, 300)}`
  },
}

const lineOf = (id: string, counts: string, end: string): string => `node-a.example bus ${id}: ${counts}, ${end}\n`
const NONE = 'missing 0, untold 0, twice 0, out of order 0'

test('consumers: each has the same findings for an honest topic and for one with faults', async (t) => {
  await withCluster(t, { nodes: 1 }, async ({ brokers }, _jars, topics) => {
    const runs = [await numberedRun('run1', '', 100, 2), await numberedRun('run2', 'run1', 100, 2)]
    const honest = [0, 1].map((i) => runs.flatMap((each) => each[i] ?? []))
    await topics.create('honest', 2)
    await writeRecords(brokers, 'honest', honest)
    // The first partition lacks its fifth record, and its seventh, which the eighth reports; two are there twice; no run 2 stops.
    const told = { loss_stage: 'exporter', loss_exporter: 'bus', loss_reason: 'queue_full', loss_count: '1' }
    const faulty = honest.map((records: KafkaRecord[], i) => {
      const tells = records.slice(7, 8).map((record) => ({ ...record, own: { ...record.own, ...told } }))
      const kept = [...records.slice(0, 4), ...records.slice(5, 6), ...tells, ...records.slice(8, -1)]
      return i === 0 ? [...kept, ...records.slice(2, 4)] : records.slice(0, -1)
    })
    await topics.create('faulty', 2)
    await writeRecords(brokers, 'faulty', faulty)
    for (const [name, prepare] of Object.entries(KINDS)) {
      // The others check the same records by the same rules.
      await t.test(name, { skip: name !== 'typescript' && SKIP_LONG }, async (own) => {
        const command = await prepare()
        if (typeof command === 'string') return own.skip(`cannot be fetched or built: ${command}`)
        const [program = '', ...args] = command
        const read = (topic: string): Promise<Ran> => run(program, [...args, brokers.join(','), topic], READ_MS)
        const whole = await read('honest')
        assert.equal(whole.out, lineOf('run1', NONE, 'stopped') + lineOf('run2', NONE, 'stopped'), whole.errors)
        assert.equal(whole.code, 0)
        const lacking = await read('faulty')
        const first = lineOf('run1', 'missing 2, untold 1, twice 2, out of order 0', 'stopped')
        assert.equal(lacking.out, first + lineOf('run2', NONE, 'open'), lacking.errors)
        assert.equal(lacking.code, 1)
      })
    }
  })
})
