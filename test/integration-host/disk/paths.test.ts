/**
 * Output files and spools behind symbolic links, links that replace a file while it is written, and a file system that becomes read-only.
 * Counted by the events that files and sinks have; no file outside of the agent's own paths may change.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, renameSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { AgentProcess } from '../../support/delivery/child.ts'
import { numbersIn } from '../../support/delivery/events.ts'
import type { ExporterReport } from '../../support/delivery/protocol.ts'
import { seqOf } from '../../support/otlp/decode.ts'
import { FakeSink, OK } from '../../support/otlp/server.ts'
import { Folder } from '../../unit/exporters/support/folder.ts'

const EVENTS_PER_SECOND = 500
/** Numbers of events published during the fault, and after it. */
const EVENTS = 200
const DEADLINE_MS = 30_000

/** A file exporter at `filed` and an OTLP exporter with the spool `spool`, in the folder `at`. */
function yamlOf(at: string, url: string): string {
  const chain = 'batch: { max_events: 50, max_wait: 20ms }, retry: { initial: 20ms, max: 100ms }, timeout: 5s'
  const spool = `spool: { dir: "${at}/spool", min_free: 0B, max_size: 64MiB, use: always, fsync: 50ms }`
  return `
exporters:
  filed: { type: file, path: "${at}/filed.jsonl", fsync: batch, ${chain} }
  sent: { type: otlp, compression: none, concurrency: { max: 1 }, logs_endpoint: "${url}", ${spool}, ${chain} }
`
}

/** Numbers of the events in all files of the folder, ascending. */
function filedIn(folder: string): number[] {
  const names = readdirSync(folder).filter((name) => name.startsWith('filed'))
  return names.flatMap((name) => numbersIn(readFileSync(join(folder, name), 'utf8'))).toSorted((a, b) => a - b)
}

class Rig implements AsyncDisposable {
  readonly agent: AgentProcess
  readonly seen: Set<number>
  readonly #sink: FakeSink

  private constructor(agent: AgentProcess, sink: FakeSink, seen: Set<number>) {
    this.agent = agent
    this.#sink = sink
    this.seen = seen
  }

  static async start(at: string, wrapper: readonly string[] = []): Promise<Rig> {
    const seen = new Set<number>()
    const sink: FakeSink = await FakeSink.start((request) => {
      sink.requests.length = 0
      for (const record of request.logs().records) seen.add(seqOf(record))
      return OK
    })
    const yaml = yamlOf(at, sink.url)
    const agent = new AgentProcess({ yaml, epoch: 'e', eventsPerSecond: EVENTS_PER_SECOND, wrapper })
    const rig = new Rig(agent, sink, seen)
    await agent.whenStarted()
    await rig.flow('the first events are delivered')
    return rig
  }

  now(name: 'filed' | 'sent'): ExporterReport {
    return this.agent.latest?.exporters[name] ?? assert.fail('no report yet')
  }

  until(what: string, condition: () => boolean): Promise<void> {
    return this.agent.until(what, () => this.agent.latest !== undefined && condition(), DEADLINE_MS)
  }

  /** More events are published, and both exporters deliver some of them. */
  async flow(what: string): Promise<void> {
    const before = this.agent.publishing
    const { filed, sent } = this.agent.latest?.exporters ?? {}
    const more = (name: 'filed' | 'sent', then: ExporterReport | undefined): boolean =>
      this.now(name).accounting.delivered > (then?.accounting.delivered ?? 0) + EVENTS
    await this.until(what, () => this.agent.publishing > before + EVENTS && more('filed', filed) && more('sent', sent))
  }

  /** Returns how many events were published; both exporters have settled all of them. */
  async stop(): Promise<{ readonly total: number; readonly dropped: number }> {
    this.agent.rate(0)
    await this.until('nothing is held', () =>
      (['filed', 'sent'] as const).every((name) => this.now(name).accounting.heldEvents === 0),
    )
    const total = this.agent.publishing
    const { filed, sent } = await this.agent.stop(5000)
    const droppedOf = (report: ExporterReport | undefined): number =>
      Object.values(report?.accounting.dropped ?? {}).reduce((sum, events) => sum + events, 0)
    assert.deepEqual([filed?.imbalance, filed?.accounting.delivered, droppedOf(filed)], [0, total, 0])
    assert.deepEqual([sent?.imbalance, (sent?.accounting.delivered ?? 0) + droppedOf(sent)], [0, total])
    return { total, dropped: droppedOf(sent) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]()
    await this.#sink[Symbol.asyncDispose]()
  }
}

test('paths: outputs and spools behind links are used, but a link in place of a file is never followed', async (t) => {
  using folder = new Folder()
  for (const name of ['real', 'others']) mkdirSync(folder.at(name))
  symlinkSync('real', folder.at('link'))
  writeFileSync(folder.at('others/passwd'), 'kept\n')
  await using rig = await Rig.start(folder.at('link'))
  renameSync(folder.at('real/filed.jsonl'), folder.at('real/filed-moved.jsonl'))
  symlinkSync('../../others/passwd', folder.at('real/filed.jsonl'))
  await rig.until('the link is refused', () => rig.now('filed').accounting.state === 'hold')
  assert.match(rig.now('filed').accounting.lastError, /expected a file, got a symbolic link \(ELOOP\)/)
  const before = rig.agent.publishing
  const { delivered } = rig.now('sent').accounting
  await rig.until('the other exporter goes on', () => rig.now('sent').accounting.delivered > delivered + EVENTS)
  assert.ok(rig.agent.publishing > before)
  unlinkSync(folder.at('real/filed.jsonl'))
  await rig.flow('the file is written again')
  const { total } = await rig.stop()
  assert.deepEqual(filedIn(folder.at('real')), [...Array(total).keys()])
  assert.equal(rig.seen.size, total)
  assert.equal(readFileSync(folder.at('others/passwd'), 'utf8'), 'kept\n')
  assert.deepEqual(
    [readdirSync(folder.path).toSorted(), readdirSync(folder.at('others'))],
    [['link', 'others', 'real'], ['passwd']],
  )
  t.diagnostic(`${total} events to each`)
})

test('paths: a folder that becomes read-only costs no event of the file, and each of a spool is delivered or counted', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('mounting over a folder in a namespace needs root')
  using folder = new Folder()
  const at = folder.at('data')
  mkdirSync(at)
  await using rig = await Rig.start(at, ['unshare', '-m'])
  const inside = (...command: string[]): void =>
    void execFileSync('nsenter', ['-t', String(rig.agent.pid), '-m', ...command])
  inside('mount', '-t', 'tmpfs', '-o', 'ro', 'ktrail', at)
  await rig.until('the file is held', () => rig.now('filed').accounting.state === 'hold')
  assert.match(rig.now('filed').accounting.lastError, /read-only \(EROFS\); mount it writable/)
  const before = rig.agent.publishing
  await rig.until('more is published', () => rig.agent.publishing > before + EVENTS)
  inside('umount', at)
  await rig.flow('all is written again')
  const { total, dropped } = await rig.stop()
  assert.deepEqual(filedIn(at), [...Array(total).keys()])
  assert.ok(total - rig.seen.size <= dropped, `${total - rig.seen.size} missing, ${dropped} counted`)
  assert.deepEqual(readdirSync(folder.path), ['data'])
  t.diagnostic(`${total} events; ${dropped} of the spool were dropped, ${total - rig.seen.size} are missing`)
})
