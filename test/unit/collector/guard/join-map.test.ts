/** Calls that are held and calls in the kernel's map → findings. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { JoinMapCheck } from '../../../../collector/guard/join-map.ts'
import type { PendingCall } from '../../../../collector/wire/decode.ts'
import { callKey } from '../../../../collector/kernel/joins.ts'

const call = (tid: number, nsec = 5): PendingCall => ({ tid, sec: 1, nsec, callLo: tid, callHi: 0xc900 })

function rig(): {
  held: PendingCall[]
  inMap: PendingCall[]
  emptied: number
  fromMap: number
  refused: number
  readonly ended: PendingCall[]
  look(): string[]
} {
  const ended: PendingCall[] = []
  const same = (one: PendingCall) => (other: PendingCall) => one.tid === other.tid && one.nsec === other.nsec
  const check = new JoinMapCheck({
    pending: { kept: () => state.held, has: (one) => state.held.some(same(one)) },
    inMaps: () => new Set(state.inMap.map(callKey)),
    emptied: () => state.emptied,
    fromMap: () => state.fromMap,
    refused: () => state.refused,
    end: (one) => {
      ended.push(one)
      state.held = state.held.filter((other) => !same(one)(other))
    },
  })
  const look = (): string[] => check.check().map(({ on, got, repaired }) => `${on}: ${got} ${repaired}`)
  const state = {
    held: [] as PendingCall[],
    inMap: [] as PendingCall[],
    emptied: 0,
    fromMap: 0,
    refused: 0,
    ended,
    look,
  }
  return state
}

test('join map: calls whose entries exist, or that end before the next check, are no finding', () => {
  const state = rig()
  Object.assign(state, { held: [call(1), call(2)], inMap: [call(1)] })
  assert.deepEqual(state.look(), [])
  // The ring reported how the second one ended.
  Object.assign(state, { held: [call(1)], emptied: 1 })
  assert.deepEqual(state.look(), [])
  state.emptied++
  assert.deepEqual(state.look(), [])
  assert.deepEqual(state.ended, [])
})

test('join map: an event without an entry is sent once the ring was empty', () => {
  const state = rig()
  // Two policies, and an entry of another call of the thread.
  Object.assign(state, { held: [call(1), call(1), call(2)], inMap: [call(1, 6), call(2)] })
  assert.deepEqual([state.look(), state.look()], [[], []])
  state.emptied++
  assert.deepEqual(state.look(), ['join: missing or changed entries of 1 true'])
  assert.deepEqual(state.ended, [call(1)])
  state.emptied++
  assert.deepEqual(state.look(), [])
})

test('join map: returns that the ring did not refuse are reported after two checks in a row, once each', () => {
  const state = rig()
  const looks = [
    [1, 1],
    [3, 1],
    [3, 3],
    [4, 3],
    [4, 3],
    [4, 3],
    [6, 3],
    [6, 3],
  ].map(([fromMap, refused]) => {
    Object.assign(state, { fromMap, refused })
    return state.look()[0]
  })
  const found = (count: number): string => `join: ${count} others true`
  const none = undefined
  assert.deepEqual(looks, [none, none, none, none, found(1), none, none, found(2)])
})
