/** `ktrail tap`: the input of real exporters, byte by byte. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { pino } from 'pino'
import { UsageError } from '../../../../collector/cli/command.ts'
import { ktrail } from '../../../../collector/cli/ktrail.ts'
import { Tap } from '../../../../collector/delivery/tap.ts'
import type { Tapped } from '../../../../collector/delivery/tap.ts'
import { configOrThrow } from '../../../../config/agent/check.ts'
import { loadConfig } from '../../../../config/agent/load.ts'
import type { Encoded } from '../../../../exporters/index.ts'
import { createFanOut, EncoderPool } from '../../../../exporters/index.ts'
import { makeExec, makeExit } from '../../exporters/support/events.ts'
import { Folder } from '../../exporters/support/folder.ts'
import { Rig } from '../api/support/rig.ts'
import { NODE } from '../support/processes.ts'
import { typed } from './support/terminal.ts'

const EXPORTERS = `
  archive: { type: file, path: FOLDER/x.jsonl, envelope: true, filter: { event_types: [process_exit] } }
  bus: { type: otlp, endpoint: "http://127.0.0.1:9" }`

/** Taps while `run` publishes; ends with the agent. */
async function tapped(
  exporter: string,
): Promise<{ readonly out: string; readonly err: string; readonly file: string }> {
  using folder = new Folder()
  const yaml = `exporters:${EXPORTERS.replaceAll('FOLDER', folder.path)}\n`
  const { config } = configOrThrow(loadConfig(yaml, 'c.yaml', {}))
  const log = pino({ level: 'silent' })
  const context = { nodeName: NODE, epoch: 'e', encoders: new EncoderPool(NODE), env: {}, log, configFile: 'c.yaml' }
  const fanout = await createFanOut(config.exporters, context)
  await fanout.start()
  await using rig = await Rig.start(undefined, undefined, fanout.routes)
  let [out, err] = ['', '']
  const running = ktrail(['tap', exporter, '--server', `unix://${rig.path}`], {
    env: {},
    print: (text) => Promise.resolve(((out += Buffer.from(text).toString()), true)),
    printError: (line) => void (err += `${line}\n`),
    nowMs: () => 0,
  })
  const end = performance.now() + 10_000
  while (rig.delivery.tapCount === 0) {
    assert.ok(performance.now() < end, 'the command did not connect in 10 s')
    await new Promise(setImmediate)
  }
  rig.delivery.publish([makeExec({ seq: 0 }), makeExit({ seq: 1 }), makeExit({ seq: 2 })])
  await fanout.flush(exporter === 'archive' ? 5_000 : 0)
  await rig.delivery.stop(0)
  assert.equal(await running, 0)
  assert.equal(rig.delivery.tapCount, 0)
  return { out, err, file: readFileSync(folder.at('x.jsonl'), 'utf8') }
}

test('tap: the lines that the exporter writes, after its filter', async () => {
  const { out, err, file } = await tapped('archive')
  assert.equal(out, file)
  assert.equal(out.trimEnd().split('\n').length, 2)
  assert.match(out, /"process_exit".*"exporter_seq"/)
  assert.equal(err, 'ktrail: the agent has stopped\n')
})

test('tap: the bodies of OTLP records', async () => {
  const { out } = await tapped('bus')
  const lines = out.trimEnd().split('\n')
  assert.deepEqual(
    lines.map((line) => Object.keys(JSON.parse(line) as object)[0]),
    ['process_exec', 'process_exit', 'process_exit'],
  )
})

test('tap: an unknown exporter and wrong usage are explained', async () => {
  await using rig = await Rig.start(undefined, undefined, [])
  await assert.rejects(typed(['tap', 'archiv', '--server', `unix://${rig.path}`]), /the agent has no exporter "archiv"/)
  for (const args of [['tap'], ['tap', 'a', 'b']]) {
    await assert.rejects(
      typed(args),
      (error) => error instanceof UsageError && /name of one exporter/.test(error.message),
    )
  }
})

test('tap: a reader that does not read costs a bounded queue, and gets the number of its losses', async () => {
  const tap = new Tap()
  const bytes = Buffer.alloc(100 << 10, 'x')
  const part: Encoded = { encoding: 'json', bytes, ends: Uint32Array.of(bytes.length), count: 1, firstSeq: 0 }
  for (let i = 0; i < 15; i++) tap.put(part)
  const got: Tapped[] = []
  const all = (async () => {
    for await (const each of tap) got.push(each)
  })()
  await new Promise(setImmediate)
  assert.equal(got.length, 10)
  bytes.fill('y')
  assert.equal(got[0]?.encoded.bytes[0], 'x'.charCodeAt(0), 'the tap has a copy')
  tap.put(part)
  tap.end()
  await all
  assert.deepEqual(
    got.map(({ lost }) => lost),
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5],
  )
})
