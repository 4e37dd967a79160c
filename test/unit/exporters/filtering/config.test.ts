/** Filters of exporters, from the text of a config to the written bytes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
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
