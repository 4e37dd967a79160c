/** Exporters replaced while a fan-out publishes, with real files as sinks. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { seqOf } from '../../support/otlp/decode.ts'
import { FakeSink } from '../../support/otlp/server.ts'
import { idsIn, ReloadRig as Rig, sum, upTo } from '../../support/reload/rig.ts'
import { until } from './support/fake-clock.ts'
import { Folder } from './support/folder.ts'

const fileAt = (folder: Folder, name: string, keys = ''): string =>
  `${name}: { type: file, path: "${folder.at(`${name}.jsonl`)}"${keys} }`

const ids = (folder: Folder, name: string): number[] => idsIn(folder.at(`${name}.jsonl`))

describe('reload of exporters', () => {
  it('does not touch an unchanged one, gives a changed one the held events, starts a new one, drains a removed one', async () => {
    using folder = new Folder()
    await using rig = await Rig.start(
      [fileAt(folder, 'same'), fileAt(folder, 'changed'), fileAt(folder, 'gone')].join(),
    )
    const [same, changed] = rig.fanout.senders
    const sinks = [same?.exporter, changed?.exporter]
    await rig.publish()
    await rig.reload(
      [fileAt(folder, 'same'), fileAt(folder, 'changed', ', batch: { max_events: 3 }'), fileAt(folder, 'new')].join(),
    )
    assert.deepEqual(
      rig.fanout.senders.map(({ name }) => name),
      ['same', 'changed', 'new', 'gone'],
    )
    assert.equal(rig.fanout.senders[0]?.exporter, sinks[0])
    assert.equal(rig.fanout.senders[1], changed)
    assert.notEqual(changed?.exporter, sinks[1])
    await rig.publish()
    await rig.fanout.flush(5000)
    assert.deepEqual(ids(folder, 'same'), upTo(20))
    assert.deepEqual(ids(folder, 'changed'), upTo(20))
    assert.deepEqual(ids(folder, 'gone'), upTo(10))
    assert.deepEqual(ids(folder, 'new'), upTo(20).slice(10))
    assert.equal(changed?.accounting().accepted, 20)
    const gone = rig.fanout.senders[3]?.accounting()
    assert.deepEqual([gone?.state, gone?.delivered, gone?.dropped.shutdown], ['stopped', 10, 0])
  })

  it('lets two exporters swap their files, and a new one take the file of a removed one', async () => {
    using folder = new Folder()
    const swap = (a: string, b: string): string =>
      `a: { type: file, path: "${folder.at(a)}" }, b: { type: file, path: "${folder.at(b)}" }`
    await using rig = await Rig.start(swap('1.jsonl', '2.jsonl'))
    await rig.publish()
    await rig.reload(swap('2.jsonl', '1.jsonl'))
    await rig.publish()
    await rig.reload(`c: { type: file, path: "${folder.at('1.jsonl')}" }`)
    await rig.publish()
    await rig.fanout.flush(5000)
    for (const name of ['1', '2']) assert.deepEqual([...new Set(ids(folder, name))], upTo(name === '1' ? 30 : 20))
  })

  const refusals: ReadonlyArray<readonly [what: string, keys: string, want: RegExp]> = [
    ['a sink that cannot open', 'path: "/proc/nowhere/x.jsonl"', /^exporters\.a: cannot open "\/proc\/nowhere/],
    ['another spool folder', 'path: "PATH", spool: { dir: /tmp/other }', /^exporters\.a\.spool: requires a restart/],
  ]
  for (const [what, keys, want] of refusals) {
    it(`refuses ${what}, and all exporters continue as before`, async () => {
      using folder = new Folder()
      await using rig = await Rig.start([fileAt(folder, 'a'), fileAt(folder, 'b')].join())
      const before = rig.fanout.senders.map(({ exporter }) => exporter)
      await rig.publish()
      const next = `a: { type: file, ${keys.replace('PATH', folder.at('a.jsonl'))} }, c: { type: stdout }`
      await assert.rejects(rig.reload(next), (error: Error) => {
        assert.match(error.message, want)
        return true
      })
      await rig.publish()
      await until('all is written', () => rig.fanout.senders.every((sender) => sender.accounting().delivered === 20))
      assert.deepEqual(
        rig.fanout.senders.map(({ exporter }) => exporter),
        before,
      )
      assert.deepEqual([ids(folder, 'a'), ids(folder, 'b')], [upTo(20), upTo(20)])
    })
  }

  it('refuses another type or encoding under the same name, because held events would not fit', async () => {
    using folder = new Folder()
    await using rig = await Rig.start(`a: { type: stdout, format: json }, ${fileAt(folder, 'b')}`)
    await assert.rejects(rig.reload(`a: { type: stdout, format: compact }, ${fileAt(folder, 'b')}`), {
      message:
        /^exporters\.a: requires a restart, because its held events are encoded as json, .* compact: restart the agent, or give/,
    })
    await assert.rejects(rig.reload('b: { type: stdout }'), { message: /^exporters\.b\.type: requires a restart/ })
    assert.equal(rig.fanout.routes.length, 2)
  })

  it('keeps the encoders that exporters use, shared, and no others, also when it is refused', async () => {
    using folder = new Folder()
    const redacted = (name: string, text: string): string =>
      fileAt(folder, name, `, redact: [{ redact: ['(${text})'], binary_regex: [sh] }]`)
    await using rig = await Rig.start([fileAt(folder, 'a'), redacted('b', 'x0'), redacted('c', 'x0')].join())
    const encoderOf = (name: string): unknown => rig.fanout.routes.find(({ sender }) => sender.name === name)?.encoder
    assert.equal(rig.encoders.size, 2)
    for (let i = 1; i <= 20; i++) {
      const next = [fileAt(folder, 'a'), redacted('b', `x${i}`), redacted('c', `x${i}`)]
      await rig.reload(next.join())
      assert.equal(encoderOf('b'), encoderOf('c'))
      await assert.rejects(
        rig.reload([...next, 'd: { type: file, path: /proc/nowhere/x }', redacted('e', `y${i}`)].join()),
      )
      await assert.rejects(rig.reload([redacted('a', `z${i}`), 'b: { type: stdout }'].join()))
    }
    assert.equal(rig.encoders.size, 2)
    await rig.reload(`${fileAt(folder, 'a')}, ${fileAt(folder, 'f')}`)
    assert.equal(encoderOf('f'), encoderOf('a'))
    assert.equal(rig.encoders.size, 1)
  })

  it('keeps the open spool of a changed exporter, with other limits, and delivers its events in order', async () => {
    using folder = new Folder()
    await using sink = await FakeSink.start()
    const exporter = (url: string, size: string): string =>
      `a: { type: otlp, logs_endpoint: "${url}", retry: { initial: 10ms }, batch: { max_events: 5 }, concurrency: { max: 1 }, ` +
      `spool: { dir: "${folder.at('spool')}", use: always, min_free: 0B, max_size: ${size} } }`
    await using rig = await Rig.start(exporter('http://127.0.0.1:1/v1/logs', '1GiB'))
    const sender = rig.sender('a')
    await rig.publish(20)
    await until('all is spooled', () => (sender.stats().spool?.appended ?? 0) >= 20)
    await rig.reload(exporter(sink.url, '2GiB'))
    await rig.publish(10)
    await until('all is delivered', () => sender.accounting().delivered === 30)
    assert.deepEqual(
      sink.requests.flatMap((request) => request.logs().records.map(seqOf)),
      upTo(30),
    )
    const { spool } = sender.stats()
    assert.deepEqual([spool?.limitBytes, spool?.recovered, spool?.appended], [2 * 2 ** 30, 0, 30])
    const { accepted, dropped } = sender.accounting()
    assert.deepEqual([accepted, sum(dropped)], [30, 0])
  })

  it('never lets the counters of a filter fall', async () => {
    using folder = new Folder()
    const filtered = (keys: string): string => fileAt(folder, 'a', `, filter: { ${keys} }`)
    await using rig = await Rig.start(filtered('event_types: [process_exit]'))
    const count = (): Readonly<Record<string, number>> | undefined => rig.fanout.filtered().get('a')
    await rig.publish()
    const before = count()
    await rig.reload(filtered('event_types: [process_exit, process_kprobe]'))
    assert.deepEqual(count(), before)
    await rig.publish()
    assert.deepEqual(Object.values(count() ?? {}), [20])
    await rig.reload(fileAt(folder, 'a'))
    assert.deepEqual(Object.values(count() ?? {}), [20])
  })

  it('ends at once if the agent stops meanwhile, and keeps the old exporters', async () => {
    using folder = new Folder()
    await using rig = await Rig.start(fileAt(folder, 'a'))
    const stop = new AbortController()
    stop.abort(new Error('the agent stops'))
    await assert.rejects(rig.reload(fileAt(folder, 'b'), stop.signal), { message: 'the agent stops' })
    await rig.publish()
    await until('all is written', () => rig.fanout.senders[0]?.accounting().delivered === 10)
    assert.equal(rig.fanout.routes.length, 1)
  })
})
