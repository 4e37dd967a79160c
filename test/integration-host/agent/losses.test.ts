/**
 * Every lost record is counted and has a loss record: for a full ring, and for a rate limit. test/e2e/losses.test.ts has the kernel's own numbers.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { TestAgent, cannotReplay } from '../../e2e/support/agent.ts'
import { LineFile } from '../../e2e/support/line-file.ts'
import { RawAgent } from '../../e2e/support/raw.ts'
import { lostIn } from '../../e2e/support/record.ts'
import type { Line } from '../../e2e/support/record.ts'
import { until } from '../../e2e/support/wait.ts'
import { Folder } from '../../unit/exporters/support/folder.ts'
import { NODE, place, reads } from './support/place.ts'

const HITS = 20_000
const LIMITED_HITS = 5000
const LOST = 'ktrail_kernel_lost_events_total'
const SMALL = { ring: { size: '64KiB', watermark: '16KiB' } }

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what the file exporter writes
const linesOf = (file: string): Line[] => new LineFile(file).read().map((line) => JSON.parse(line) as Line)

test('agent losses: a full ring loses records, and each is counted and in a loss record', async (t) => {
  using folder = new Folder()
  const { events, config } = place(folder)
  await using agent = new RawAgent(config(SMALL), { command: NODE })
  await agent.ready()
  await agent.request(HITS)
  const lost = await until('all records to be in the file or lost', async () => {
    const sum = (await agent.metrics()).sum(LOST, { reason: 'ring_full_hook' })
    return sum + reads(events) === HITS && sum
  })
  t.diagnostic(`${reads(events)} of ${HITS} records were in the ring`)
  assert.ok(lost > 0 && lost < HITS, 'the test must lose some and not all')
  // No further events come: loss records must be written without them.
  await until('loss records of everything', () => lostIn(linesOf(events)) === lost)
  assert.match(agent.stderr, new RegExp(`ring_full_hook=${lost}\\b.*"events were lost"`))
  await agent.request(100)
  await until('100 more events', () => reads(events) === HITS - lost + 100)
  const metrics = await agent.metrics()
  assert.deepEqual([metrics.sum(LOST), metrics.sum('ktrail_accounting_imbalance_events')], [lost, 0])
  assert.deepEqual(await agent.end('SIGTERM'), { code: 0, signal: null })
})

test('agent losses: after a stop the loss records of both files cover every event that a rate limit or the ring dropped', async (t) => {
  using folder = new Folder()
  const { events, archive, config } = place(folder)
  const narrow = {
    type: 'file',
    path: folder.at('narrow.jsonl'),
    filter: { policies: ['watched'], event_types: ['process_kprobe'] },
    rate_limit: { events: 10, per: '1s', burst: 500 },
  }
  await using agent = new RawAgent(config({ ...SMALL, exporters: { archive, narrow } }), { command: NODE })
  await agent.ready()
  for (let all = 250; all <= LIMITED_HITS; all += 250) {
    await agent.request(250)
    await until('the events', () => reads(events) === all)
  }
  await agent.request(LIMITED_HITS)
  assert.deepEqual(await agent.end('SIGTERM'), { code: 0, signal: null })
  const all = reads(events)
  const passed = reads(narrow.path)
  const kernel = 2 * LIMITED_HITS - all
  t.diagnostic(`${all} events, ${passed} passed the rate limit, ${kernel} were lost by the ring`)
  assert.ok(passed >= 500 && passed < all / 2)
  assert.ok(kernel > 0)
  assert.equal(lostIn(linesOf(narrow.path)), all - passed + kernel, 'in the file with the rate limit')
  assert.equal(lostIn(linesOf(events)), all - passed + kernel, 'in the file without')
})

/** Milliseconds of stops; the smallest is as short as a process can make it. */
for (const stopMs of [0, 1_000]) {
  test(`agent losses: a stop by SIGSTOP of ${stopMs} ms is reported`, { skip: cannotReplay() }, async () => {
    await using agent = await TestAgent.start({ replayed: true })
    process.kill(agent.pid, 'SIGSTOP')
    if (stopMs > 0) await pause(stopMs)
    process.kill(agent.pid, 'SIGCONT')
    await agent.until('its loss record', () => lostIn(agent.lines()) === 1)
    const found = agent
      .log()
      .filter(({ msg }) => String(msg).startsWith('tampering: the agent: it was stopped for up to '))
    assert.equal(found.length, 1)
  })
}
