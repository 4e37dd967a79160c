/** `ktrail top`: its counters, its keys, and its fit to the terminal. */
import assert from 'node:assert/strict'
import { describe, it, test } from 'node:test'
import { fromBinary } from '@bufbuild/protobuf'
import { ResponseEncoder } from '../../../../../collector/api/events/encode.ts'
import { ktrail } from '../../../../../collector/cli/ktrail.ts'
import { UsageError } from '../../../../../collector/cli/command.ts'
import { afterKey } from '../../../../../collector/cli/top/keys.ts'
import { HotEvents } from '../../../../../collector/cli/top/hot.ts'
import { GetEventsResponseSchema } from '../../../../../collector/proto/tetragon/events_pb.js'
import { Sketch } from '../../../../../collector/cli/top/sketch.ts'
import { screenLines } from '../../../../../collector/cli/top/view.ts'
import type { Choice, Seen } from '../../../../../collector/cli/top/view.ts'
import { readStatus } from '../../../../../collector/cli/status/page.ts'
import { startPageAgent } from '../../../../support/page/agent.ts'
import { file, makeExec, makeHook, makeKprobe, makeProcess } from '../../../exporters/support/events.ts'
import { Rig } from '../../api/support/rig.ts'
import { enabledPolicies } from '../../support/policies.ts'
import { typed } from '../support/terminal.ts'

const CHOICE: Choice = { sort: 'rate', filter: '', paused: false, typing: false }
const EXPORTERS = '{archive: {type: file, path: FOLDER/x.jsonl}}'

describe('top: sketch', () => {
  it('finds the heavy names among many more than it holds', () => {
    const sketch = new Sketch(64)
    for (let i = 0; i < 20_000; i++) {
      sketch.add(`rare ${i}`)
      if (i % 4 === 0) sketch.add('/bin/heavy')
      if (i % 8 === 0) sketch.add('/bin/half')
    }
    const ranked = sketch.list().toSorted((a, b) => b.rate - a.rate)
    assert.equal(ranked.length, 64)
    assert.deepEqual(
      ranked.slice(0, 2).map(({ key }) => key),
      ['/bin/heavy', '/bin/half'],
    )
    assert.equal(ranked[0]?.total, 5_000)
  })

  it('a steady rate is shown as it is, and fades', () => {
    const sketch = new Sketch()
    for (let second = 0; second < 60; second++) {
      sketch.decay(1)
      for (let i = 0; i < 50; i++) sketch.add('a')
    }
    assert.ok(Math.abs((sketch.list()[0]?.rate ?? 0) - 50) < 1)
    sketch.decay(60)
    assert.ok((sketch.list()[0]?.rate ?? 1) < 0.2)
  })

  it('a long name is cut', () => {
    const sketch = new Sketch()
    sketch.add('x'.repeat(5_000))
    assert.equal(sketch.list()[0]?.key.length, 256)
  })
})

test('top: keys', () => {
  const after = (keys: string): Choice | 'quit' => afterKey(CHOICE, keys)
  assert.equal(after('q'), 'quit')
  assert.equal(after('\x03'), 'quit')
  assert.equal(after('/q\x03'), 'quit')
  assert.deepEqual(after('p'), { ...CHOICE, paused: true })
  assert.deepEqual(after('ss'), { ...CHOICE, sort: 'name' })
  assert.deepEqual(after('sss'), CHOICE)
  assert.deepEqual(after('/bin\x7f\r'), { ...CHOICE, filter: 'bi' })
  assert.deepEqual(after('/q'), { ...CHOICE, filter: 'q', typing: true })
  assert.deepEqual(after('/bin\rx\x1b'), CHOICE)
  assert.deepEqual(after('\x1b[A'), CHOICE)
  assert.equal((after(`/${'x'.repeat(1_000)}`) as Choice).filter.length, 64)
})

test('top: a screen has exactly the lines and columns of the terminal, whatever the names', async () => {
  await using agent = await startPageAgent({
    exporters: EXPORTERS,
    policies: enabledPolicies(...Array.from({ length: 40 }, (_, i) => ({ name: `policy-${i}` }))),
    losses: [{ hook: 'h\x1b[2J', reason: 'missed_run', count: 3 }],
  })
  const [host = '', port] = new URL(agent.url).host.split(':')
  const { page } = await readStatus({ address: { host, port: Number(port) }, token: undefined })
  const hot = Array.from({ length: 100 }, (_, i) => ({
    key: `/opt/\x1b]0;x\x07${'long/'.repeat(i)}${i}`,
    rate: i,
    total: 9,
  }))
  const seen: Seen = { page, before: page, binaries: hot, paths: hot, note: 'no live events:\n\x1b[31mred' }
  for (const size of [
    { columns: 80, rows: 24 },
    { columns: 120, rows: 40 },
    { columns: 40, rows: 10 },
  ]) {
    for (const choice of [CHOICE, { ...CHOICE, typing: true, filter: '\x1b' }]) {
      const lines = screenLines(seen, choice, size)
      assert.equal(lines.length, size.rows)
      for (const line of lines) {
        assert.ok(line.length <= size.columns, line)
        assert.doesNotMatch(line, /\p{Cc}/u)
      }
    }
  }
  const [first] = screenLines(seen, { ...CHOICE, filter: 'policy-39' }, { columns: 80, rows: 24 }).filter((line) =>
    line.startsWith('policy'),
  )
  assert.match(first ?? '', /^policy-39 /)
})

test('top: the binaries and files of all types of hooks count', () => {
  const hot = new HotEvents()
  const encoder = new ResponseEncoder('node')
  for (const type of ['process_kprobe', 'process_lsm', 'process_tracepoint'] as const) {
    const event = makeKprobe({
      type,
      hook: makeHook({ type }),
      process: makeProcess({ binary: type }),
      args: [file(`/${type}`)],
      ...(type !== 'process_kprobe' && { returned: undefined }),
    })
    hot.add(fromBinary(GetEventsResponseSchema, encoder.encode(event)))
  }
  const names = ['process_kprobe', 'process_lsm', 'process_tracepoint']
  assert.deepEqual(
    hot.binaries.list().map(({ key }) => key),
    names,
  )
  assert.deepEqual(
    hot.paths.list().map(({ key }) => key),
    names.map((name) => `/${name}`),
  )
})

test('top --once: plain text with the binaries of live events', async () => {
  await using agent = await startPageAgent({ exporters: EXPORTERS, policies: enabledPolicies({ name: 'files' }) })
  await using rig = await Rig.start()
  let out = ''
  const running = ktrail(['top', '--once', '--http', new URL(agent.url).host, '--server', `unix://${rig.path}`], {
    env: {},
    print: (text) => Promise.resolve(((out += text.toString()), true)),
    printError: () => {},
    nowMs: () => 0,
  })
  const end = performance.now() + 10_000
  while (rig.api.readers.count === 0) {
    assert.ok(performance.now() < end, 'the command did not connect in 10 s')
    await new Promise(setImmediate)
  }
  const exec = makeExec()
  rig.delivery.publish([{ ...exec, process: makeProcess({ binary: '/usr/bin/hot\x1b[2J' }) }])
  assert.equal(await running, 0)
  assert.match(out, /^\/usr\/bin\/hot\\x1b\[2J +[\d.]+\/s +1$/m)
  for (const title of ['EXPORTER', 'POLICY', 'BINARIES', 'PATHS']) assert.match(out, new RegExp(`^${title} `, 'm'))
})

test('top: wrong usage, and no agent', async () => {
  await assert.rejects(typed(['top', 'x']), UsageError)
  await assert.rejects(typed(['top', '--once', '--http', '127.0.0.1:1']), /no agent listens on 127\.0\.0\.1:1/)
})
