/** An agent under attack by a program of test/fixtures/hostile. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import { alive, recovered } from '../../../e2e/hostile/support/recovery.ts'
import type { TestAgent } from '../../../e2e/support/agent.ts'
import { UID, hostileBinary } from '../../../e2e/support/hostile.ts'
import { memoryOf } from '../../../support/memory.ts'

const READS = 200

/** Reads a watched file and waits until all of its events are in the file of events, and no further ones. */
export async function readsArrive(agent: TestAgent, watched: string, reads = READS): Promise<void> {
  const count = (): number => agent.lines().filter((line) => line.process_kprobe !== undefined).length
  const from = count()
  await agent.runs(['/bin/cat'], ...Array.from({ length: reads }, () => watched))
  await agent.until(`${reads} events`, () => count() >= from + reads, 30_000)
  assert.equal(count(), from + reads)
}

/** Private memory of the agent once everything that a burst needs is allocated. */
export async function allocated(agent: TestAgent, watched: string): Promise<number> {
  await readsArrive(agent, watched, 20_000)
  return memoryOf(agent.pid).privateBytes
}

export interface Attack {
  readonly program: string
  readonly words: readonly string[]
  /** Raises its own limits first, then switches to uid 65534. */
  readonly startsAsRoot?: boolean
  /** Private memory of the agent before. */
  readonly restBytes: number
}

/**
 * Runs the attacker, which prints a line once it attacks and continues until its standard input ends, while `work` runs. Fails unless /livez answers
 * all the time, memory returns and the accounting is exact.
 */
export async function attacked(
  agent: TestAgent,
  t: TestContext,
  { program, words, startsAsRoot = false, restBytes }: Attack,
  work: () => Promise<void>,
): Promise<void> {
  const attack = spawn(hostileBinary(program), words, {
    stdio: ['pipe', 'pipe', 'inherit'],
    ...(startsAsRoot ? {} : { uid: UID, gid: UID }),
  })
  using undo = new DisposableStack()
  // A failing test must not leave an attacker: the run would wait for it.
  undo.defer(() => attack.kill('SIGKILL'))
  const ended = once(attack, 'exit')
  await Promise.race([once(attack.stdout, 'data'), ended])
  const slowestMs = await alive(agent, work())
  const peakBytes = memoryOf(agent.pid).privateBytes
  attack.stdin.end()
  assert.deepEqual(await ended, [0, null])
  const nowBytes = await recovered(agent, restBytes)
  const memory = [restBytes, peakBytes, nowBytes].map((bytes) => bytes >> 20).join(' ')
  t.diagnostic(
    `slowest /livez ${slowestMs.toFixed(0)} ms; private memory before, in the attack, at rest, MiB: ${memory}`,
  )
}
