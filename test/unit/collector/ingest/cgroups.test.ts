/** Records of cgroups → the agent's cgroups. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { takeCgroup } from '../../../../collector/ingest/ingest.ts'
import type { RawCgroup } from '../../../../collector/wire/decode.ts'
import { CGROUP_CUT, CGROUP_WHOLE } from '../../../../collector/wire/wire.ts'

const BASE = { op: 'cgroup', cpu: 0, seq: 0, sec: 0, nsec: 0, tgid: 1, tid: 1, startLo: 0, startHi: 0, id: 7n } as const

function taken(change: Partial<RawCgroup>): string[] {
  const calls: string[] = []
  const workloads = {
    made: (id: bigint, names: readonly string[]) => void calls.push(`made ${id} ${JSON.stringify(names)}`),
    gone: (id: bigint) => void calls.push(`gone ${id}`),
  }
  takeCgroup(workloads, { ...BASE, gone: false, cgroup: Buffer.alloc(0), cgroupState: CGROUP_WHOLE, ...change })
  return calls
}

test('cgroups: a new cgroup has its names, its own first', () => {
  assert.deepEqual(taken({ cgroup: Buffer.from('a\0b-\xff\0', 'latin1') }), ['made 7 ["a","b-ÿ"]'])
})

test('cgroups: a removed cgroup is forgotten', () => assert.deepEqual(taken({ gone: true }), ['gone 7']))

test('cgroups: a cgroup whose names are not all sent is left to the kernel', () => {
  assert.deepEqual(taken({ cgroup: Buffer.from('a\0'), cgroupState: CGROUP_CUT }), [])
})
