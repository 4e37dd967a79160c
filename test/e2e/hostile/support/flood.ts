/**
 * The flood suite: an unprivileged user attacks one running agent, in one way after another. After each attack four things hold: the next
 * watched reads are in the file, /livez has never failed, the accounting is exact, and memory returns to its former level.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, copyFileSync, lstatSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { memoryOf } from '../../../support/memory.ts'
import { TestAgent, freshFolder } from '../../support/agent.ts'
import { accessOf, audited, burst, burstBinary, countLines, report, target } from '../../support/faults.ts'
import { kernelAtLeast } from '../../support/kernel.ts'
import { UID, hostileBinary, opened } from '../../support/hostile.ts'
import { fileHook, path, policy } from '../../support/policy.ts'
import { alive, recovered } from './recovery.ts'
import { LONG } from '../../../support/long.ts'

/** Divisor of the calls of each attack if all attacks run at once. */
const AT_ONCE = 0.1
const READS = 200
/** Run time of an attacker that does not end by itself. */
const LASTS_MS = 4_000

interface Target {
  /** Watched, with one byte. */
  readonly file: string
  /** Watched and empty, to be mounted on. */
  readonly mounted: string
  /** The attacker's own folder. */
  readonly own: string
  /** A folder below the attacker's own one, watched by identity. */
  readonly moved: string
}

interface Attack {
  /** The attacker's object has `times` this size. */
  readonly name: string
  readonly times: number
  readonly program: () => string
  readonly words: (target: Target, times: string) => readonly string[]
  /** The program prints a line once it attacks, and continues until its standard input ends. */
  readonly lasts?: boolean
}

const ATTACKS: readonly Attack[] = [
  {
    name: 'reads of a watched file by each of four processes',
    times: LONG ? 50_000 : 12_500,
    program: burstBinary,
    words: ({ file }, times) => ['pread', file, times, '4'],
  },
  {
    name: 'programs with 16,000 bytes of arguments, each another text',
    times: LONG ? 300 : 100,
    program: () => hostileBinary('arguments'),
    words: (_, times) => [times],
  },
  {
    name: 'children that have read a watched file and sleep',
    times: LONG ? 1_500 : 500,
    program: () => hostileBinary('sleepers'),
    words: ({ file }, times) => [times, file],
    lasts: true,
  },
  {
    name: 'reads in a storm of renames, and one of mounts in a user namespace',
    times: LONG ? 200_000 : 50_000,
    program: () => hostileBinary('storm'),
    words: ({ own }, times) => ['/etc/hostname', times, own],
  },
  {
    // The kernel side remembers 8,192 files that were moved out, and counts 16,384 kinds of calls.
    name: 'files that are made in a sticky folder, linked, read and moved out',
    times: 17_000,
    program: () => hostileBinary('moves'),
    words: ({ moved }, times) => [moved, times],
  },
  {
    name: 'files with names of 1,000 bytes on FUSE',
    times: LONG ? 500 : 200,
    program: () => hostileBinary('names'),
    words: ({ mounted }, times) => [
      mounted,
      ...Array.from({ length: Number(times) }, (_, i) => String(i).padStart(1_000, 'n')),
    ],
  },
]

/** Opens below `folder` and of files that were moved out of it, folded into an event for each file. */
function byIdentity(folder: string): string {
  const hook = {
    call: 'security_file_open',
    syscall: false,
    aggregate: { window: '5s' },
    args: [{ index: 0, type: 'file' }],
    selectors: [{ matchArgs: [{ index: 0, operator: 'UnderDir', values: [folder], sticky: true }] }],
  }
  return policy('identity', [hook]).replace('cilium.io/', 'ktrail.dev/')
}

/** Defines the suite; `skip` is the reason why it cannot run here. `atOnce`: one flood, of all attacks at the same time. */
export function floodSuite(name: string, skip: string | false, atOnce = false): void {
  const floods = atOnce
    ? [{ what: 'all attacks at once', attacks: ATTACKS }]
    : ATTACKS.map((attack) => ({ what: `${attack.times.toLocaleString('en')} ${attack.name}`, attacks: [attack] }))
  describe(name, { skip }, () => {
    let agent: TestAgent
    const { folder, file } = target()
    const mounted = join(opened(folder), 'm')
    const own = freshFolder('attacker')
    const moved = join(own, 'moved')
    let restBytes = 0
    let readers = 0

    /** Reads with a program of its own name, so that its lines differ from the attacker's. */
    const readAndCount = async (): Promise<void> => {
      const from = agent.texts().length
      const reader = join(freshFolder('reader'), `reader-${++readers}`)
      copyFileSync(burstBinary(), reader)
      execFileSync(reader, ['pread', file, String(READS), '1'])
      const mine = `"binary":${JSON.stringify(reader)}`
      let [seen, events] = [from, 0]
      const count = (): boolean => {
        for (const texts = agent.texts(); seen < texts.length; seen++) {
          if (texts[seen]?.startsWith('{"process_kprobe"') === true && texts[seen]?.includes(mine) === true) events++
        }
        return events >= READS
      }
      await agent.until(`${READS} reads to be in the file`, count)
      assert.equal(events, READS)
    }

    before(async () => {
      mkdirSync(mounted)
      mkdirSync(moved)
      for (const each of [own, moved]) chmodSync(each, 0o777)
      // The mode that udev gives the device.
      chmodSync('/dev/fuse', 0o666)
      for (const { program } of ATTACKS) program()
      agent = await TestAgent.start({
        policies: {
          'p.yaml': policy('flood', [fileHook([path('Prefix', folder)])]),
          ...(kernelAtLeast(5, 17) && { 'identity.yaml': byIdentity(moved) }),
        },
        // A small ring, which the reads fill.
        config: { ring: { size: LONG ? '16MiB' : '4MiB' } },
        // The default of a config.
        archive: { fsync: '1s', batch: {} },
      })
      // Taken once everything that a burst needs is allocated.
      await burst(['pread', file, 5_000, 2])
      await readAndCount()
      await audited(agent)
      restBytes = memoryOf(agent.pid).privateBytes
    })

    after(() => agent?.[Symbol.asyncDispose]())

    for (const { what, attacks } of floods) {
      it(`${what}: the next ${READS} reads are recorded, and memory goes back`, async () => {
        using undo = new DisposableStack()
        const started = attacks.map(({ program, words, times, lasts = false }) => {
          const count = String(atOnce ? times * AT_ONCE : times)
          const child = spawn(program(), words({ file, mounted, own, moved }, count), {
            stdio: ['pipe', 'pipe', 'inherit'],
            uid: UID,
            gid: UID,
          })
          // A failing test must not leave an attacker: the run would wait for it.
          undo.defer(() => child.kill('SIGKILL'))
          const ended = once(child, 'close')
          const atWork = async (): Promise<void> => {
            await once(child.stdout, 'data')
            await setTimeout(LASTS_MS)
          }
          return { child, ended, lasts, works: lasts ? atWork() : ended }
        })
        const longestMs = await alive(agent, Promise.all(started.map(({ works }) => works)))
        const peakBytes = memoryOf(agent.pid).privateBytes
        await readAndCount()
        for (const { child, ended } of started) {
          child.stdin.end()
          child.stdout.resume()
          assert.deepEqual(await ended, [0, null])
        }
        if (started.some(({ lasts }) => lasts)) await readAndCount()
        const nowBytes = await recovered(agent, restBytes)
        // The agent runs as root.
        const written = readdirSync(own).filter((each) => join(own, each) !== moved)
        assert.deepEqual(
          written.filter((each) => lstatSync(join(own, each)).uid !== UID),
          [],
        )
        const metrics = await agent.metrics()
        if (attacks[0]?.program === burstBinary && !atOnce)
          assert.ok(metrics.sum('ktrail_kernel_lost_events_total', { reason: 'ring_full_hook' }) > 0, 'a full ring')
        report(`${name}: ${what}`, {
          'longest answer of /livez, ms': longestMs,
          'private memory before, after the attack, at rest, MiB': [restBytes, peakBytes, nowBytes]
            .map((n) => n >> 20)
            .join(' '),
          'events in the file': countLines(`${agent.folder}/events.jsonl`, accessOf(file)),
          lost: metrics.losses().join(' ') || 'nothing',
        })
      })
    }
  })
}
