/** Filters of exporters, from the text of a config to the written bytes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import { podKeys } from '../../../../exporters/filtering/pods.ts'
import { createFanOut } from '../../../../exporters/start.ts'
import { loadConfig } from '../../../../config/agent/load.ts'
import type { ExporterConfig } from '../../../../config/agent/schema.ts'
import { EncoderPool } from '../../../../exporters/index.ts'
import { makeExec, makeHook, makeKprobe, makeProcess } from '../support/events.ts'
import { Folder } from '../support/folder.ts'

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

/** A log, and its records. */
function recordingLog(): { log: pino.Logger; logged: Array<Record<string, unknown>> } {
  const logged: Array<Record<string, unknown>> = []
  const log = pino({ level: 'warn' }, { write: (line: string): void => void logged.push(JSON.parse(line)) })
  return { log, logged }
}

test('filter config: keys that need pods are found, and no others', () => {
  const rows: ReadonlyArray<readonly [filter: string, want: readonly string[]]> = [
    ['{ namespaces: [""], binaries: [a] }', []],
    ['{ allow: [{ namespace: [""] }], deny: [{ container_id: [a] }] }', []],
    ['{ namespaces: ["", x], pods: [y] }', ['pods', 'namespaces']],
    ['{ health_checks: drop }', ['health_checks']],
    [
      '{ allow: [{ namespace: [a], pod_regex: [b] }, { pod_regex: [c] }], deny: [{ labels: [a], health_check: true }] }',
      ['allow.pod_regex', 'allow.namespace', 'deny.labels', 'deny.health_check'],
    ],
  ]
  for (const [text, want] of rows) {
    const { filter } = exporterOf(`, filter: ${text}`)
    assert.ok(filter !== undefined)
    assert.deepEqual(podKeys(filter), want, text)
  }
})

test('filter config: an exporter whose filter needs pods causes a warning with the keys; others do not', async () => {
  for (const [keys, want] of [
    ['', undefined],
    [', filter: { binaries: [a] }', undefined],
    [', filter: { pods: [y] }', ['pods']],
  ] as const) {
    const { log, logged } = recordingLog()
    const context = { nodeName: 'n', epoch: 'e', encoders: new EncoderPool('n'), env: {}, log }
    await createFanOut({ a: exporterOf(keys) }, context)
    assert.equal(logged.length, want === undefined ? 0 : 1, keys)
    assert.deepEqual([logged[0]?.['keys'], logged[0]?.['exporter']], [want, want === undefined ? undefined : 'a'])
  }
})

test('filter config: exporters with equal settings share encoders', () => {
  const pool = new EncoderPool('n')
  const warn = (problem: string): never => assert.fail(problem)
  const redact = ', redact: [{ redact: ["(a)"] }]'
  const [plain, first, second] = ['', redact, redact].map((keys) => pool.shaped(exporterOf(keys), warn))
  assert.equal(plain, pool)
  assert.ok(first !== pool && first === second)
})

test('filter config: a file has the events of its filter, redacted and with selected fields, next to one that has all events', async () => {
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
  const { log, logged } = recordingLog()
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
  assert.deepEqual(logged, [])
})
