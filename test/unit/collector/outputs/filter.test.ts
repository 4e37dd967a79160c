/** What exporters let through, from the text of a config to the bytes they write. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import { encodersOf, filterOf, rateLimitOf } from '../../../../collector/outputs/filter.ts'
import { createFanOut } from '../../../../collector/outputs/outputs.ts'
import { loadConfig } from '../../../../config/agent/load.ts'
import type { ExporterConfig } from '../../../../config/agent/schema.ts'
import { EncoderPool } from '../../../../exporters/index.ts'
import { makeExec, makeHook, makeKprobe, makeProcess } from '../../exporters/support/events.ts'
import { Folder } from '../../exporters/support/folder.ts'

function exportersOf(text: string): Record<string, ExporterConfig> {
  const loaded = loadConfig(text, 'c.yaml', {}, () => '')
  assert.ok('config' in loaded, JSON.stringify(loaded))
  return { ...loaded.config.exporters }
}

function exporterOf(keys: string): ExporterConfig {
  const { a } = exportersOf(`exporters: { a: { type: stdout${keys} } }`)
  assert.ok(a !== undefined)
  return a
}

/** A log and what it was told, each a record. */
function listening(): { log: pino.Logger; said: Array<Record<string, unknown>> } {
  const said: Array<Record<string, unknown>> = []
  const log = pino({ level: 'warn' }, { write: (line: string): void => void said.push(JSON.parse(line)) })
  return { log, said }
}

test('outputs: filters that ask for pods are warned about, with the keys; others are not', () => {
  const rows: ReadonlyArray<readonly [keys: string, want: unknown]> = [
    ['', undefined],
    [', filter: { namespaces: [""], binaries: [a] }', undefined],
    [', filter: { allow: [{ namespace: [""] }], deny: [{ container_id: [a] }] }', undefined],
    [', filter: { namespaces: ["", x], pods: [y] }', ['pods', 'namespaces']],
    [', filter: { health_checks: drop }', ['health_checks']],
    [
      ', filter: { allow: [{ namespace: [a], pod_regex: [b] }, { pod_regex: [c] }], deny: [{ labels: [a], health_check: true }] }',
      ['allow.pod_regex', 'allow.namespace', 'deny.labels', 'deny.health_check'],
    ],
  ]
  for (const [keys, want] of rows) {
    const { log, said } = listening()
    const filter = filterOf('a', exporterOf(keys), log)
    assert.equal(filter === undefined, keys === '')
    assert.equal(said.length, want === undefined ? 0 : 1, keys)
    assert.deepEqual([said[0]?.['keys'], said[0]?.['exporter']], [want, want === undefined ? undefined : 'a'])
  }
})

test('outputs: a rate limit in milliseconds, with a burst where there is one', () => {
  assert.equal(rateLimitOf(exporterOf('')), undefined)
  assert.deepEqual(rateLimitOf(exporterOf(', rate_limit: { events: 5, per: 1m }')), { events: 5, perMs: 60_000 })
  const limit = rateLimitOf(exporterOf(', rate_limit: { events: 5, burst: 9 }'))
  assert.deepEqual(limit, { events: 5, perMs: 1000, burst: 9 })
})

test('outputs: exporters of one shape share encoders', () => {
  const pool = new EncoderPool('n')
  const { log, said } = listening()
  const redact = ', redact: [{ redact: ["(a)"] }]'
  const [plain, first, second] = ['', redact, redact].map((keys) => encodersOf('a', exporterOf(keys), pool, log))
  assert.equal(plain, pool)
  assert.ok(first !== pool && first === second)
  assert.equal(said.length, 0)
})

test('outputs: a file holds what its filter takes, redacted and cut, beside one that holds all', async () => {
  using folder = new Folder()
  const text = `
exporters:
  all: { type: file, path: ${folder.at('all.jsonl')} }
  some:
    type: file
    path: ${folder.at('some.jsonl')}
    filter: { policies: [files], deny: [{ binary_regex: ['cat$'] }] }
    redact: [{ redact: ['--key=(\\S+)'] }]
    fields: [{ fields: 'process.arguments,policy_name' }]
`
  const { log, said } = listening()
  const encoders = new EncoderPool('n')
  const context = { nodeName: 'n', epoch: 'e', encoders, env: {}, log }
  const fanOut = await createFanOut(exportersOf(text), context)
  await fanOut.start()
  const hook = makeHook({ policy: 'files' })
  const process = makeProcess({ arguments: '--key=s3cret -x' })
  const cat = makeProcess({ binary: '/bin/cat' })
  const events = [
    makeExec({ seq: 0, process }),
    makeKprobe({ seq: 1, process, hook }),
    makeKprobe({ seq: 2, process: cat, hook }),
    makeKprobe({ seq: 3, process, hook: makeHook({ policy: 'other' }) }),
  ]
  assert.equal(fanOut.publish(events), undefined)
  await fanOut.stop(5000)
  assert.equal(folder.read('all.jsonl').split('\n').length, 5)
  assert.match(folder.read('all.jsonl'), /--key=s3cret/)
  assert.deepEqual(
    folder
      .read('some.jsonl')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).process_kprobe),
    [{ process: { arguments: '--key=***** -x' }, policy_name: 'files' }],
  )
  assert.deepEqual(fanOut.filtered().get('some'), { policies: 2, deny: 1 })
  assert.deepEqual(said, [])
})
