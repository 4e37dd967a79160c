/** The real agent, whole, on a kernel that plays records: from the ring to the file, with reloads and refused policies, within a second. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { z } from 'zod'
import { CollectorError } from '../../../collector/errors.ts'
import { valueIndex } from '../../../collector/plan/layout/hook.ts'
import { NOP, typeNamed } from '../../../config/policy/arguments.ts'
import { policyOf } from '../../support/kernel/functions.ts'
import { RingRecords } from '../../support/recording/ring-records.ts'
import type { Stamp } from '../../support/recording/ring-records.ts'
import { FakeSink } from '../../support/otlp/server.ts'
import { synthesize } from '../../support/recording/synthetic.ts'
import { until } from '../exporters/support/fake-clock.ts'
import { Folder } from '../exporters/support/folder.ts'
import { startRig } from '../../support/kernel/rig.ts'

test('agent: each record that the kernel wrote is a line of the file, and a stop delivers all', async () => {
  using folder = new Folder()
  const rig = await startRig(folder)
  const { bytes } = synthesize(5000)
  rig.kernel.play(bytes)
  await rig.agent.stop()
  const lines = rig.lines()
  const count = (type: string): number => lines.filter((line) => type in line).length
  assert.ok(count('process_kprobe') > 4000, `${count('process_kprobe')} accesses`)
  assert.ok(count('process_exec') > 150)
  assert.ok(count('process_exit') > 0)
  assert.equal(count('rate_limit_info'), 0, 'no losses')
  assert.deepEqual(
    rig.log
      .filter(({ level }) => Number(level) > 30)
      .map(({ msg }) => String(msg))
      // Another agent of this machine may have it.
      .filter((msg) => !msg.includes('unix:///run/ktrail/http.sock')),
    [],
  )
})

test('agent: OTLP records have the id of the host, whose root is that of its pid 1', async () => {
  using folder = new Folder()
  await using sink = await FakeSink.start()
  mkdirSync(folder.at('proc/1/root/etc'), { recursive: true })
  writeFileSync(folder.at('proc/1/root/etc/machine-id'), 'fdbf79e8af94cb7f9e8df36789187052\n')
  await using rig = await startRig(folder, { exporters: `o: { type: otlp, logs_endpoint: "${sink.url}" }` })
  await rig.agent.stop()
  const [request] = sink.requests
  const ids = request?.logs().resource.filter(({ key }) => key === 'host.id')
  assert.deepEqual(ids, [{ key: 'host.id', value: { stringValue: 'fdbf79e8af94cb7f9e8df36789187052' } }])
})

test('agent: numbers of records that never come are a loss in the file', async () => {
  using folder = new Folder()
  await using rig = await startRig(folder)
  rig.kernel.counters.ring_full_hook = 7
  rig.kernel.lose(7)
  await rig.agent.stop()
  const losses = rig.lines().flatMap((line) => ('rate_limit_info' in line ? [line['rate_limit_info']] : []))
  assert.deepEqual(losses, [{ number_of_dropped_process_events: '7' }])
})

test('agent: returns that come late, by the ring or by the map, and returns that never come', async () => {
  using folder = new Folder()
  await using rig = await startRig(folder)
  const ring = new RingRecords()
  const file = [
    valueIndex({ index: 0, type: typeNamed('path') ?? NOP }),
    { kind: 'file', path: '/f', inode: 7n, mode: 0o100644 },
  ] as const
  const stampOf = (call: number): Stamp => ({ ns: 600_000_000_000n + BigInt(call), tgid: 9, tid: 9, startNs: 1n })
  for (const call of [1, 2, 3, 4, 5]) ring.waiting(stampOf(call), 3, [file], BigInt(call))
  // 1 and 2 by the ring, 3 and 4 by the map; 5 is in progress when the agent stops.
  ring.returned(stampOf(1), 1n, -13n)
  ring.returned(stampOf(2), 2n)
  rig.kernel.play(ring.bytes())
  const end = { tid: 9, sec: 600, callHi: 0 }
  const calls = [
    { ...end, nsec: 3, callLo: 3, returned: { lo: 7, hi: 0 } },
    { ...end, nsec: 4, callLo: 4, returned: undefined },
  ]
  rig.kernel.ends = { calls, functions: [] }
  await rig.agent.stop()
  const missed = { error_arg: { Message: 'return not seen' } }
  assert.deepEqual(
    rig
      .lines()
      .flatMap(({ process_kprobe: call }) =>
        call === undefined ? [] : [z.looseObject({ return: z.unknown() }).parse(call).return],
      ),
    [{ int_arg: -13 }, missed, { int_arg: 7 }, missed, missed],
  )
})

test('agent: a policy that the kernel refuses changes nothing, and the next one is attached', async () => {
  using folder = new Folder()
  await using rig = await startRig(folder)
  const logged = (text: RegExp) => (): boolean => rig.log.some(({ msg }) => text.test(String(msg)))
  rig.kernel.refusal = new CollectorError('POLICY_REFUSED', 'q.yaml:6:13: the kernel refuses it')
  rig.policy('q.yaml', policyOf('other'))
  assert.equal(await rig.agent.reload(), undefined)
  await until('the refusal', logged(/policy refused.*the kernel refuses it/))
  rig.policy('r.yaml', policyOf('third'))
  await rig.agent.reload()
  await until('the next policy', logged(/policy added/))
  assert.ok(rig.agent.alive())
})
