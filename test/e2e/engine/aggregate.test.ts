/**
 * `aggregate`: reports of equal calls add up to the calls. The window, the process, a signal, the policy or the agent ends them, or the kernel's
 * table is full.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { line, runAct, startAct } from '../support/act.ts'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { kernelAtLeast } from '../support/kernel.ts'
import { path } from '../support/policy.ts'
import { processOf } from '../support/record.ts'
import type { Line } from '../support/record.ts'

const old = cannotRun() === false && !kernelAtLeast(5, 17) ? 'aggregate needs Linux 5.17' : false
const skip = cannotRun() || old
const top = skip === false ? freshFolder('aggregate') : '/none'
const at = (name: string): string => join(top, name)

const hook = (call: string, aggregate: object, more: object = {}, operator = 'Prefix', file = `${top}/`): object => ({
  call,
  syscall: false,
  args: [{ index: 0, type: 'file' }],
  selectors: [{ matchArgs: [path(operator, file)] }],
  aggregate,
  ...more,
})

function policyOf(name: string, kprobes: readonly object[]): string {
  const document = { apiVersion: 'ktrail.dev/v1alpha1', kind: 'TracingPolicy', metadata: { name }, spec: { kprobes } }
  return JSON.stringify(document)
}

const BYTES = { return: true, returnArg: { index: 0, type: 'long' } }
const WITH_MASK = {
  args: [
    { index: 0, type: 'file' },
    { index: 1, type: 'int' },
  ],
  return: true,
  returnArg: { index: 0, type: 'int' },
}
/** By the end of their process. */
const LONG = { window: '30m' }

interface Sum {
  records: number
  calls: number
  bytes: number
}

const countOf = ({ aggregate }: Line): number => Number(aggregate?.count ?? 1)

/** The events of a function, by `by`. */
function sums(lines: readonly Line[], call: string, by: (line: Line) => string): Record<string, Sum> {
  const found: Record<string, Sum> = {}
  for (const each of lines) {
    if (each.process_kprobe?.function_name !== call) continue
    const sum = (found[by(each)] ??= { records: 0, calls: 0, bytes: 0 })
    sum.records++
    sum.calls += countOf(each)
    sum.bytes += Number(each.aggregate?.bytes ?? 0)
  }
  return found
}

const fileOf = (each: Line): string => each.process_kprobe?.args?.[0]?.file_arg?.path?.split('/').at(-1) ?? ''
const MASKS: Readonly<Record<number, string>> = { 2: 'write', 4: 'read' }
const fileAndMask = (each: Line): string => `${fileOf(each)} ${MASKS[each.process_kprobe?.args?.[1]?.int_arg ?? 0]}`

/** Reads of the busiest of four processes. A million reads take a minute in an emulated guest. */
const MOST = process.env['KTRAIL_LONG'] === '1' ? 400_000 : 12_000
const READS = [MOST, 0.75 * MOST, 0.5 * MOST, 0.25 * MOST]

for (const mode of ['auto', 'join'] as const) {
  describe(`aggregate, mode ${mode}`, { skip }, () => {
    let agent: TestAgent
    before(async () => {
      for (const name of ['f', 'g']) writeFileSync(at(name), 'x')
      agent = await TestAgent.start({ config: { attach: { mode } } })
      const hooks = [
        hook('vfs_read', LONG, BYTES),
        hook('security_file_permission', { window: '2s' }, WITH_MASK),
        hook('vfs_write', LONG),
      ]
      assert.equal(await agent.apply('sums', policyOf('sums', hooks)), 'added', JSON.stringify(agent.log().at(-1)))
    })
    after(() => agent?.[Symbol.asyncDispose]())

    if (mode === 'auto') {
      test('aggregate: many reads of four processes are a few events whose counts add up', async () => {
        const began = performance.now()
        const pids: number[] = []
        const lines = await agent.during(async () => {
          const acting = READS.map((count) => startAct([line('read', at('f'), count)]))
          for (const { pid, ended } of acting) {
            pids.push(pid)
            assert.equal((await ended).code, 0)
          }
        })
        assert.deepEqual((await agent.metrics()).losses(), [])
        const pidOf = (each: Line): string => String(READS[pids.indexOf(processOf(each).pid ?? 0)])
        const whole = Object.fromEntries(READS.map((n) => [String(n), { records: 1, calls: n, bytes: n }]))
        assert.deepEqual(sums(lines, 'vfs_read', pidOf), whole)
        const windows = sums(lines, 'security_file_permission', pidOf)
        assert.deepEqual(
          Object.fromEntries(Object.entries(windows).map(([pid, { calls }]) => [pid, calls])),
          Object.fromEntries(READS.map((n) => [String(n), n])),
        )
        const records = Object.values(windows).reduce((sum, each) => sum + each.records, 0)
        assert.ok(records <= 100, String(records))
        console.log(`aggregate: ${records} events of 2 s each, ${Math.round(performance.now() - began)} ms`)
        for (const each of lines.filter(({ aggregate }) => aggregate !== undefined)) {
          const { count = '0', last_time: last = '' } = each.aggregate ?? {}
          assert.ok(count === '1' ? last === each.time : last > (each.time ?? ''), JSON.stringify(each))
        }
      })

      test('aggregate: if the table is full, calls have events of their own', async () => {
        const numbers = Array.from({ length: 17_000 }, (_, i) => 1_000_000 + i)
        const fcntl = {
          call: 'sys_fcntl',
          args: [{ index: 2, type: 'int' }],
          selectors: [{ matchArgs: [{ index: 2, operator: 'GreaterThan', values: ['999999'] }] }],
          aggregate: LONG,
        }
        assert.equal(await agent.apply('full', policyOf('full', [fcntl])), 'added')
        const from = await agent.settled()
        await runAct(numbers.map((number) => line('fcntl', number)))
        const ofPolicy = (): Line[] =>
          agent
            .lines()
            .slice(from)
            .filter((each) => each.process_kprobe?.policy_name === 'full')
        // A process with so many aggregates has most of their events behind its exit record.
        await agent.until('an event of each call', () => ofPolicy().length >= numbers.length)
        const lines = ofPolicy()
        const seen = sums(lines, lines[0]?.process_kprobe?.function_name ?? '', (each) =>
          String(each.process_kprobe?.args?.[0]?.int_arg),
        )
        assert.deepEqual(Object.keys(seen), numbers.map(String))
        assert.ok(Object.values(seen).every(({ records, calls }) => records === 1 && calls === 1))
        const alone = lines.filter(({ aggregate }) => aggregate === undefined).length
        assert.ok(alone > 0)
        assert.equal((await agent.metrics()).sum('ktrail_kernel_fallbacks_total', { kind: 'aggregates_full' }), alone)
      })
    }

    test('aggregate: calls of a process as another user have another event', async () => {
      const reads = (n: number): string => line('readfd', 0, n)
      const script = [line('open', 0, at('f')), reads(3), line('euid', 33), reads(2), line('euid', 0), reads(4)]
      const lines = await agent.during(() => runAct(script))
      assert.deepEqual(
        sums(lines, 'vfs_read', (each) => String(processOf(each).uid)),
        { 0: { records: 1, calls: 7, bytes: 7 }, 33: { records: 1, calls: 2, bytes: 2 } },
      )
    })

    test('aggregate: other files, other kinds and other processes have other events', async () => {
      const script = [line('read', at('f'), 3), line('write', at('f'), 2), line('read', at('g'), 4)]
      const lines = await agent.during(() =>
        runAct([...script, line('thread', 1), line('read', at('f'), 5), line('fork', 1), line('read', at('f'), 6)]),
      )
      assert.deepEqual(
        sums(lines, 'security_file_permission', (each) => fileAndMask(each)),
        {
          'f read': { records: 2, calls: 14, bytes: 0 },
          'f write': { records: 1, calls: 2, bytes: 0 },
          'g read': { records: 1, calls: 4, bytes: 0 },
        },
      )
      assert.deepEqual(sums(lines, 'vfs_read', fileOf), {
        f: { records: 2, calls: 14, bytes: 14 },
        g: { records: 1, calls: 4, bytes: 4 },
      })
      assert.deepEqual(sums(lines, 'vfs_write', fileOf), { f: { records: 1, calls: 2, bytes: 0 } })
      const exit = lines.findLastIndex((each) => each.process_exit !== undefined)
      assert.ok(
        lines.findLastIndex((each) => each.process_kprobe !== undefined) < exit,
        'before the exit of the process',
      )
    })

    test('aggregate: a killed process has its events', async () => {
      const lines = await agent.during(async () => {
        const { pid, ended } = startAct([line('paced', at('f'), 1_000_000)])
        await wait(1500)
        process.kill(pid, 'SIGKILL')
        assert.equal((await ended).signal, 'SIGKILL')
      })
      const { f: read } = sums(lines, 'vfs_read', fileOf)
      const { f: checked } = sums(lines, 'security_file_permission', fileOf)
      assert.equal(read?.records, 1)
      assert.equal(read?.calls, checked?.calls)
      assert.equal(read?.bytes, read?.calls)
      assert.ok((read?.calls ?? 0) > 10)
    })

    test('aggregate: events are sent at the end of the window, while the process continues', async () => {
      const from = await agent.settled()
      const acting = startAct([line('read', at('g'), 7), 'wait', line('read', at('g'), 2)])
      await agent.until('the events of the first window', () => {
        const { g } = sums(agent.lines().slice(from), 'security_file_permission', fileOf)
        return g?.calls === 7
      })
      acting.go()
      await acting.ended
      const to = await agent.settled()
      assert.deepEqual(sums(agent.lines().slice(from, to), 'security_file_permission', fileOf), {
        g: { records: 2, calls: 9, bytes: 0 },
      })
    })

    if (mode === 'join') return

    test('aggregate: the events of a removed policy are sent at once', async () => {
      assert.equal(
        await agent.apply('short', policyOf('short', [hook('vfs_read', LONG, BYTES, 'Equal', at('g'))])),
        'added',
      )
      const from = await agent.settled()
      const acting = startAct([line('read', at('g'), 11), 'wait'])
      const ofPolicy = (name: string): Record<string, Sum> =>
        sums(
          agent
            .lines()
            .slice(from)
            .filter((each) => each.process_kprobe?.policy_name === name),
          'vfs_read',
          fileOf,
        )
      await agent.until(
        'the reads to be made',
        () => sums(agent.lines().slice(from), 'security_file_permission', fileOf)['g']?.calls === 11,
      )
      assert.deepEqual(ofPolicy('short'), {})
      await agent.withdraw('short')
      await agent.until('the event', () => ofPolicy('short')['g'])
      assert.deepEqual(ofPolicy('short'), { g: { records: 1, calls: 11, bytes: 11 } })
      assert.deepEqual(ofPolicy('sums'), {})
      acting.go()
      await acting.ended
      await agent.settled()
      assert.deepEqual(ofPolicy('sums'), { g: { records: 1, calls: 11, bytes: 11 } })
    })

    test('aggregate: an agent that stops reports what it has counted', async () => {
      const from = await agent.settled()
      const acting = startAct([line('read', at('f'), 1000), 'wait'])
      await agent.until(
        'the reads to be made',
        () => sums(agent.lines().slice(from), 'security_file_permission', fileOf)['f']?.calls === 1000,
      )
      assert.equal((await agent.stop()).code, 0)
      acting.go()
      await acting.ended
      assert.deepEqual(sums(agent.lines().slice(from), 'vfs_read', fileOf), {
        f: { records: 1, calls: 1000, bytes: 1000 },
      })
    })
  })
}
