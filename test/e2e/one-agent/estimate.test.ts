/** `ktrail policy estimate`: its prediction, and the events of the same work with the policies added. */
import assert from 'node:assert/strict'
import { closeSync, mkdirSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs'
import test, { after, before, describe } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { actBinary, line, runAct } from '../support/act.ts'
import { cannotRun } from '../support/agent.ts'
import { kernelAtLeast } from '../support/kernel.ts'
import { fileHook, path, policy } from '../support/policy.ts'
import { until } from '../support/wait.ts'
import { Watching } from '../running/watching.ts'
import { sharedAgent } from './shared.ts'

const FOLDER = '/tmp/ktrail-estimate'

/** Reads at a fixed rate by one process. */
async function steady(): Promise<void> {
  const fd = openSync(`${FOLDER}/steady/f`, 'r')
  for (let i = 0; i < 30; i++, await setTimeout(100)) readSync(fd, Buffer.alloc(1), 0, 1, 0)
  closeSync(fd)
}

/** Many reads by several programs. */
async function burst(): Promise<void> {
  const read = (i: number): string => line('read', `${FOLDER}/burst/f${i}`, 200 * (i + 1))
  await Promise.all([0, 1, 2].map((i) => runAct([read(i)], { binary: `${FOLDER}/act${i}` })))
}

/** Many processes that read once. */
async function short(): Promise<void> {
  for (let i = 0; i < 12; i++) await runAct([line('read', `${FOLDER}/short/f`, 1)])
}

const WORK = { steady, burst, short }
const NAMES = ['steady', 'burst', 'short'] as const
const textOf = (name: string): string => policy(name, [fileHook([path('Prefix', `${FOLDER}/${name}/`)])])

interface Answer {
  readonly policies: ReadonlyArray<{
    readonly name: string
    readonly seconds: number
    readonly events_per_second: number
    readonly bytes_per_second: number
  }>
  readonly paths: ReadonlyArray<{ readonly path: string }>
  readonly programs: ReadonlyArray<{ readonly program: string }>
}

const near = (got: number, want: number, what: string): void =>
  assert.ok(Math.abs(got / want - 1) <= 0.25, `${what}: estimated ${got}, was ${want}`)

describe('ktrail policy estimate', { skip: cannotRun() }, () => {
  const agent = sharedAgent()
  before(() => {
    for (const name of NAMES) {
      mkdirSync(`${FOLDER}/${name}`, { recursive: true })
      for (const file of ['f', 'f0', 'f1', 'f2']) writeFileSync(`${FOLDER}/${name}/${file}`, 'x')
      writeFileSync(`${FOLDER}/${name}.yaml`, textOf(name))
    }
    for (const i of [0, 1, 2]) actBinary(`${FOLDER}/act${i}`)
  })
  after(() => rmSync(FOLDER, { recursive: true, force: true }))

  test('within 25 % of the events and bytes of a steady reader, a burst of programs, and short processes', async () => {
    const files = NAMES.map((name) => `${FOLDER}/${name}.yaml`)
    using estimating = await Watching.run('policy', 'estimate', ...files, '--for', '1h', '-o', 'json')
    await until('all policies count', () => estimating.stderr.match(/Ctrl-C ends/g)?.length === NAMES.length)
    const unseen = await agent().during(() => Promise.all(NAMES.map((name) => WORK[name]())))
    estimating.child.kill('SIGINT')
    assert.deepEqual(
      unseen.filter((each) => each.process_kprobe !== undefined),
      [],
    )
    assert.equal(await estimating.ended, 0, estimating.stderr)
    console.log(estimating.stderr.trimEnd())
    const { policies, paths, programs } = JSON.parse(estimating.stdout) as Answer

    for (const name of NAMES) assert.equal(await agent().apply(name, textOf(name)), 'added')
    const lines = await agent().during(() => Promise.all(NAMES.map((name) => WORK[name]())))
    for (const { name, seconds, events_per_second: rate, bytes_per_second: bytes } of policies) {
      const own = lines.filter((each) => each.process_kprobe?.policy_name === name)
      console.log(`${name}: estimated ${rate * seconds} events in ${seconds} s, was ${own.length}`)
      near(rate * seconds, own.length, name)
      near(
        bytes * seconds,
        own.reduce((sum, each) => sum + JSON.stringify(each).length + 1, 0),
        `bytes of ${name}`,
      )
    }
    assert.deepEqual(
      paths.slice(0, 3).map((each) => each.path),
      [2, 1, 0].map((i) => `${FOLDER}/burst/f${i}`),
    )
    assert.equal(programs[0]?.program, `${FOLDER}/act2`)
    assert.equal(policies.length, NAMES.length)
    if (kernelAtLeast(5, 17)) assert.doesNotMatch(estimating.stderr, /lost/)
  })
})
