/**
 * Renames and mounts in other folders, without a pause, by an unprivileged user: they change the kernel's global sequence
 * locks under every walk of a path. Reads of an unwatched file must not become events, and all reads of a watched one
 * must all be events.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chownSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { before, describe } from 'node:test'
import { promisify } from 'node:util'
import { cannotRun, freshFolder } from '../support/agent.ts'
import { UID, hostileBinary, opened } from '../support/hostile.ts'
import { fileHook, path, policy } from '../support/policy.ts'
import type { Line } from '../support/record.ts'
import { sharedAgent } from './shared.ts'

const skip = cannotRun()
/** KTRAIL_LONG=1: as many as when the fault was found, some minutes. */
const LONG = process.env['KTRAIL_LONG'] === '1'
const UNWATCHED_READS = LONG ? 5_000_000 : 300_000
const WATCHED_READS = 5_000
const run = promisify(execFile)

describe('hostile storms', { skip }, () => {
  const folder = skip === false ? opened(freshFolder('storms')) : '/none'
  const agent = sharedAgent()
  let storms = 0

  /** Reads a file during a storm; returns its lines. */
  const during = (file: string, reads: number): Promise<Line[]> =>
    agent().during(async () => {
      const own = join(folder, `storm-${storms++}`)
      mkdirSync(own)
      chownSync(own, UID, UID)
      await run(hostileBinary('storm'), [file, String(reads), own], { uid: UID, gid: UID })
    })
  const hits = (lines: readonly Line[]): Line[] => lines.filter((found) => found.process_kprobe !== undefined)
  const fallbacks = async (kind: string): Promise<number> =>
    (await agent().metrics()).sum('ktrail_kernel_fallbacks_total', { kind })

  before(async () => {
    for (const name of ['watched', 'other']) {
      mkdirSync(join(folder, name, 'd'), { recursive: true })
      writeFileSync(join(folder, name, 'd', 'f'), 'text')
    }
    hostileBinary('storm')
    const hook = fileHook([path('Prefix', `${folder}/watched/`)])
    assert.equal(await agent().apply('storms', policy('storms', [hook])), 'added')
  })

  test('storms: reads of an unwatched file make no events', { timeout: 1_200_000 }, async (t) => {
    const [racedBefore, unstableBefore] = [await fallbacks('path_raced'), await fallbacks('path_unstable')]
    const found = hits(await during(join(folder, 'other', 'd', 'f'), UNWATCHED_READS))
    const raced = (await fallbacks('path_raced')) - racedBefore
    const unstable = (await fallbacks('path_unstable')) - unstableBefore
    t.diagnostic(`${UNWATCHED_READS} reads: ${found.length} events, ${raced} raced, ${unstable} undecided`)
    assert.ok(raced > UNWATCHED_READS / 10_000, `only ${raced} walks met a rename or mount: the test shows nothing`)
    assert.deepEqual(found.slice(0, 3), [])
    assert.equal(unstable, 0)
  })

  test('storms: every read of a watched file is an event with its whole path', { timeout: 240_000 }, async () => {
    const file = join(folder, 'watched', 'd', 'f')
    const texts = hits(await during(file, WATCHED_READS)).map(({ process_kprobe: event }) => event?.args?.[0]?.file_arg)
    assert.equal(texts.length, WATCHED_READS)
    for (const text of texts)
      assert.deepEqual({ path: text?.path, flags: text?.flags }, { path: file, flags: undefined })
  })
})
