/** The exporters of a config, as created by the agent. */
import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { test } from 'node:test'
import { pino } from 'pino'
import { createFanOut } from '../../../exporters/start.ts'
import { EncoderPool } from '../../../exporters/index.ts'
import type { FanOut } from '../../../exporters/index.ts'
import type { Config } from '../../../config/agent/schema.ts'
import { loadConfig } from '../../../config/agent/load.ts'
import { makeExec } from './support/events.ts'
import { Folder } from './support/folder.ts'

const silent = pino({ level: 'silent' })

function configOf(text: string): Config {
  const loaded = loadConfig(text, 'c.yaml', {}, () => '')
  assert.ok('config' in loaded, JSON.stringify(loaded))
  return loaded.config
}

function made(text: string, nodeName = 'node'): Promise<FanOut> {
  const encoders = new EncoderPool(nodeName)
  return createFanOut(configOf(text).exporters, { nodeName, epoch: 'e', encoders, env: {}, log: silent })
}

test('start: one sender for each exporter, in the order and by the names of the config', async () => {
  const fanOut = await made(
    'exporters: { b: { type: stdout, format: compact }, a: { type: file, path: /nowhere/x }, c: { type: stdout } }',
  )
  assert.deepEqual(
    fanOut.senders.map(({ name, exporter }) => [name, exporter.type, exporter.encoding]),
    [
      ['b', 'stdout', 'compact'],
      ['a', 'file', 'json'],
      ['c', 'stdout', 'json'],
    ],
  )
})

test('start: a file gets the node’s name in its lines and the mode of the config', async () => {
  using folder = new Folder()
  const text = `exporters: { f: { type: file, path: ${folder.at('e.jsonl')}, mode: "0640" } }`
  const fanOut = await made(text, 'node-7')
  await fanOut.start()
  assert.equal(fanOut.publish([makeExec({ seq: 0 }), makeExec({ seq: 1 })]), undefined)
  await fanOut.stop(5_000)
  const lines = folder.read('e.jsonl').trimEnd().split('\n')
  assert.equal(lines.length, 2)
  for (const line of lines) assert.match(line, /"node_name":"node-7"/)
  assert.equal(statSync(folder.at('e.jsonl')).mode & 0o777, 0o640)
})

test('start: the queue has the configured length, and events beyond it are counted', async () => {
  using folder = new Folder()
  const text = `exporters: { f: { type: file, path: ${folder.at('e.jsonl')}, queue: { max_events: 3 }, batch: { max_wait: 1m } } }`
  const fanOut = await made(text)
  await fanOut.start()
  const events = Array.from({ length: 10 }, (_, seq) => makeExec({ seq }))
  assert.equal(fanOut.publish(events), undefined)
  await fanOut.stop(5_000)
  const [sender] = fanOut.senders
  const accounting = sender?.accounting()
  assert.equal(accounting?.accepted, 10)
  assert.equal(accounting?.delivered, folder.read('e.jsonl').trimEnd().split('\n').length)
  assert.equal((accounting?.delivered ?? 0) + (accounting?.dropped.queue_full ?? 0), 10)
  assert.ok((accounting?.dropped.queue_full ?? 0) > 0)
  assert.equal(sender?.imbalance(), 0)
})
