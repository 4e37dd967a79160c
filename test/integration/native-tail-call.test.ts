import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { release } from 'node:os'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'

import { openObject } from '../../native/index.ts'
import type { AttachKind, BpfMap, BpfObject, ObjectOptions } from '../../native/types.ts'
import { SYMBOL, bytesOf, cannotAttach, compileFixture, fails, hit, noMulti, sumOf } from './native-fixture.ts'
import { LONG } from '../support/long.ts'

const FIRST = 0
const SECOND = 1
const EMPTY = 2
const SWITCHES = LONG ? 1000 : 300

const holder = fileURLToPath(new URL('native-holder.ts', import.meta.url))
const skip = cannotAttach()
if (skip !== false) console.log(`native-tail-call: skipped: ${skip}`)
const path = skip === false ? compileFixture('bpf/tail-call.bpf.c') : ''
const multiMissing = skip === false ? await noMulti(compileFixture()) : false
if (multiMissing !== false) console.log(`native-tail-call: multi kinds skipped: ${multiMissing}`)
const [major = 0, minor = 0] = release().split('.').map(Number)
const sessionMissing = multiMissing || ((major < 6 || (major === 6 && minor < 10)) && 'kprobe.session needs 6.10')
if (sessionMissing !== false) console.log(`native-tail-call: session skipped: ${sessionMissing}`)

type Kind = Extract<AttachKind, 'kprobe' | 'kprobe.multi' | 'kprobe.session' | 'fexit'>
const KINDS: ReadonlyArray<{ kind: Kind; runsPerCall: number; skip: string | false }> = [
  { kind: 'kprobe', runsPerCall: 1, skip: false },
  { kind: 'fexit', runsPerCall: 1, skip: false },
  { kind: 'kprobe.multi', runsPerCall: 1, skip: multiMissing },
  { kind: 'kprobe.session', runsPerCall: 2, skip: sessionMissing },
]

const nameOf = (kind: Kind, part: string): string => `${kind === 'fexit' ? 'fexit' : 'probe'}_${part}`

/** The stub or the program that it calls; counts runs of process `tgid` only. */
function open(
  kind: Kind,
  parts: readonly string[],
  tgid: number,
  sharedMaps?: Record<string, BpfMap>,
): Promise<BpfObject> {
  const target = kind === 'fexit' ? { target: SYMBOL } : {}
  const programs: ObjectOptions['programs'] = parts.map((part) => ({ name: nameOf(kind, part), kind, ...target }))
  return openObject(path, { programs, constants: { only_tgid: bytesOf(tgid) }, ...(sharedMaps && { sharedMaps }) })
}

function countsOf(counts: BpfMap): number[] {
  return [FIRST, SECOND, EMPTY].map((which) => sumOf(counts, which))
}

describe('native: tail calls', { skip }, () => {
  for (const { kind, runsPerCall, skip: missing } of KINDS) {
    it(`${kind}: each call runs one of two programs while one replaces the other`, { skip: missing }, async () => {
      const child = spawn(process.execPath, [holder, path, 'loop'], { stdio: ['pipe', 'pipe', 'inherit'] })
      await once(child.stdout, 'data')
      const tgid = child.pid ?? 0
      using stub = await open(kind, ['stub'], tgid)
      using programs = stub.map('programs')
      using counts = stub.map('counts')
      // Each in an object of its own, as a new generation is; neither is ever attached.
      using first = await open(kind, ['first'], tgid, { counts, programs })
      using second = await open(kind, ['second'], tgid, { counts, programs })
      first.put(programs, 0, nameOf(kind, 'first'))
      using link = await stub.attach(nameOf(kind, 'stub'), [SYMBOL])
      child.stdin.write('go')
      await once(child.stdout, 'data')
      for (let i = 0; i < SWITCHES / 2; i++) {
        second.put(programs, 0, nameOf(kind, 'second'))
        first.put(programs, 0, nameOf(kind, 'first'))
      }
      child.stdin.write('end')
      const [text] = await once(child.stdout, 'data')
      await once(child, 'exit')
      const calls = Number(text)
      const [firstRuns = 0, secondRuns = 0, emptyRuns] = countsOf(counts)
      console.log(`native-tail-call: ${kind}: ${calls} calls, ${firstRuns} and ${secondRuns} runs`)
      assert.ok(firstRuns > 0 && secondRuns > 0, `${firstRuns} and ${secondRuns} runs`)
      assert.deepEqual([firstRuns + secondRuns, emptyRuns], [calls * runsPerCall, 0])
      assert.equal(link.stats().missed, 0n)
    })

    it(`${kind}: an empty slot runs the rest of the stub`, { skip: missing }, async () => {
      using object = await open(kind, ['stub', 'first'], process.pid)
      using programs = object.map('programs')
      using counts = object.map('counts')
      using link = await object.attach(nameOf(kind, 'stub'), [SYMBOL])
      assert.equal(link.kind, kind)
      hit(3)
      assert.deepEqual(countsOf(counts), [0, 0, 3 * runsPerCall])
      object.put(programs, 0, nameOf(kind, 'first'))
      hit(2)
      assert.equal(programs.delete(bytesOf(0)), true)
      assert.equal(programs.delete(bytesOf(0)), false)
      hit(1)
      assert.deepEqual(countsOf(counts), [2 * runsPerCall, 0, 4 * runsPerCall])
    })
  }

  it('refuses another map, index, program or kind', async () => {
    using stub = await open('kprobe', ['stub', 'first'], 0)
    using programs = stub.map('programs')
    using counts = stub.map('counts')
    const name = nameOf('kprobe', 'first')
    fails(() => stub.put(counts, 0, name), 'BAD_ARGUMENT', /map "counts": expected a program array, got map type 6/)
    fails(() => stub.put(programs, 2, name), 'BAD_ARGUMENT', /index in map "programs": .* from 0 to 1, got 2/)
    fails(() => stub.put(programs, 0, 'probe_second'), 'NO_PROGRAM', /"probe_second" of .* was not loaded/)
    fails(() => programs.delete(bytesOf(2)), 'MAP_FAILED', /its last index is 1/)
    using other = await open('fexit', ['first'], 0)
    fails(
      () => other.put(programs, 0, 'fexit_first'),
      'MAP_FAILED',
      /cannot put program "fexit_first" into map "programs": .*EINVAL.*; its type, attach kind or target differs/,
    )
  })
})
