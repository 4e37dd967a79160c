/**
 * Verdicts while the tree changes: a process reads a file again and again; threads rename the folders above it, other
 * folders, and mount and unmount elsewhere. A policy that matches each of the names must report each read. A policy that
 * matches none of them must report no read, unless the event is marked as read from a moving tree.
 *
 * KTRAIL_CALLS reads, 4,000 by default; `make random-policies` takes 10,000,000.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { Calls, line, sys } from '../../support/policies/calls.ts'
import { accepts, predicted } from '../../support/policies/evaluator.ts'
import type { FilterDocument, HookDocument } from '../../support/policies/documents.ts'
import { LoadedKernel } from '../../support/policies/loading.ts'
import type { Counted } from '../../support/policies/loading.ts'
import { cannotRun, freshFolder } from '../support/agent.ts'

const skip = cannotRun()
const CALLS = Number(process.env['KTRAIL_CALLS'] || 4_000)
/** Calls between two reads of the ring, which holds their events. */
const CALLS_A_ROUND = 1_000
const RING_BYTES = 128 << 20
/** Maximum factor by which a test is prolonged if no walk has met a rename. */
const PATIENCE = 24

const AT_FDCWD = -100
const O_RDWR_CREAT = 0o102
const CLONE_NEWNS = 0x20000
const MS_PRIVATE_ALL = (1 << 18) | (1 << 14)
/** Descriptors of the folder whose content is renamed, and of the file. */
const FOLDER_FD = 21
const MARK = ' [unstable]'

/** Names that are equal in their first 8 bytes, one name shorter than a word, and one longer. */
const [A, B, C, D] = ['folder-a', 'folder-also', 'inner-one', 'i']

interface Movement {
  readonly name: string
  /** Names of the file, below the top. */
  readonly paths: readonly string[]
  readonly threads: (top: string) => readonly string[]
}

const text = (value: string): { readonly text: string } => ({ text: value })
const swap = (from: string, to: string): string => line('swap', AT_FDCWD, text(from), AT_FDCWD, text(to))
const inner = line('swap', FOLDER_FD, text(C), FOLDER_FD, text(D))

const MOVEMENTS: readonly Movement[] = [
  {
    name: 'a folder above',
    paths: [`${A}/${C}/f`, `${B}/${C}/f`],
    threads: (top) => [swap(`${top}/${A}`, `${top}/${B}`)],
  },
  {
    name: 'two folders above',
    paths: [A, B].flatMap((outer) => [`${outer}/${C}/f`, `${outer}/${D}/f`]),
    threads: (top) => [swap(`${top}/${A}`, `${top}/${B}`), inner],
  },
  {
    name: 'a folder to another depth',
    paths: [`${A}/${C}/f`, `deep/er/still/${D}/f`],
    threads: (top) => [swap(`${top}/${A}/${C}`, `${top}/deep/er/still/${D}`)],
  },
  { name: 'nothing above, but much elsewhere', paths: [`${A}/${C}/f`], threads: () => [] },
]

const on = (operator: string, ...values: string[]): FilterDocument => ({ index: 0, operator, values })

/** Filters that match every path. */
function always(top: string, paths: readonly string[]): Record<string, FilterDocument[][]> {
  const full = paths.map((path) => `${top}/${path}`)
  return {
    equal: [[on('Equal', ...full)]],
    prefix: [[on('Prefix', ...full.map((path) => path.slice(0, path.lastIndexOf('/'))))]],
    'cut-prefix': [[on('Prefix', `${top}/folder`, `${top}/deep/er/s`)]],
    postfix: [[on('Postfix', `/${C}/f`, `/${D}/f`)]],
    negative: [[on('NotPrefix', `${top}/x`), on('NotPostfix', '/g'), on('NotEqual', '/none')]],
    alternatives: full.map((path) => [on('Equal', path), { index: 1, operator: 'Equal', values: ['4'] }]),
  }
}

/** Filters that never match. */
function never(top: string): Record<string, FilterDocument[][]> {
  return {
    equal: [[on('Equal', `${top}/${A}/${C}/g`, `${top}/${A}/f`, `${top}/beside/f`)]],
    prefix: [[on('Prefix', `${top}/${A}x`, `${top}/${B}/${C}/f/`, `${top}/beside`)]],
    postfix: [[on('Postfix', '/g', `${A}/f`)]],
    negative: [[on('NotPrefix', `${top}/`)], [on('Prefix', top), on('NotPostfix', 'f')]],
  }
}

const hook = (selectors: readonly FilterDocument[][]): HookDocument => ({
  call: 'security_file_permission',
  syscall: false,
  args: [
    { index: 0, type: 'file' },
    { index: 1, type: 'int' },
  ],
  selectors: selectors.map((matchArgs) => ({ matchArgs })),
})

describe('races', { skip, timeout: 7_200_000 }, () => {
  let kernel: LoadedKernel
  const racedSoFar = (): number => kernel.counters()['path_raced'] ?? 0
  before(async () => {
    kernel = await LoadedKernel.open('auto', RING_BYTES)
  })
  after(() => kernel?.[Symbol.dispose]())

  for (const { name, paths, threads } of MOVEMENTS) {
    test(`races: no verdict is wrong while threads move ${name}`, async (t) => {
      const top = freshFolder('races')
      const folder = (...names: string[]): string => sys('mkdirat', AT_FDCWD, text(join(top, ...names)), 0o755)
      const first = [
        sys('unshare', CLONE_NEWNS),
        sys('mount', text('none'), text('/'), 0, MS_PRIVATE_ALL, 0),
        ...[[A], [A, C], ['deep'], ['deep', 'er'], ['deep', 'er', 'still'], ['beside'], ['mount']].map((names) =>
          folder(...names),
        ),
        sys('openat', AT_FDCWD, text(join(top, A)), 0),
        sys('dup3', '@', FOLDER_FD, 0),
        sys('openat', AT_FDCWD, text(join(top, A, C, 'f')), O_RDWR_CREAT, 0o644),
        sys('pwrite', '@', '*', 1, 0),
      ]
      const elsewhere = [
        swap(`${top}/beside`, `${top}/besides`),
        line('binds', text(`${top}/deep`), text(`${top}/mount`)),
      ]
      const start = [...threads(top), ...elsewhere]
      const least = Math.max(1, Math.round(CALLS / MOVEMENTS.length / CALLS_A_ROUND))
      const rounds = Array.from({ length: least * PATIENCE }, () => [line('preads', CALLS_A_ROUND), line('rounds')])
      const hits = Object.entries(always(top, paths)).map(([key, filters]) => ({ name: `all-${key}`, filters }))
      const misses = Object.entries(never(top)).map(([key, filters]) => ({ name: `none-${key}`, filters }))
      // Only one of the names matches, and each event shows it.
      const some = { name: 'some', filters: [[on('Equal', `${top}/${paths[0]}`)]] }
      const policies = [...hits, ...misses, some].map((each) => ({ name: each.name, hooks: [hook(each.filters)] }))

      using calls = await Calls.start(first, [start, ...rounds])
      await using _ = await kernel.load(policies)
      const reports = new Map<string, Counted>()
      let [reads, moves] = [0, 0n]
      await calls.go(start.length)
      const racing = threads(top).length > 0
      const racedBefore = racedSoFar()
      const raced = (): number => racedSoFar() - racedBefore
      for (let round = 0; round < rounds.length; round++) {
        if (round >= least && raced() > 0) break
        const [got, moved = -1n] = await calls.go(2)
        assert.equal(got, BigInt(CALLS_A_ROUND))
        assert.ok(moved >= 0n, 'a thread failed')
        moves = moved
        reads += CALLS_A_ROUND
        // No read can meet a rename now, and the threads would take most of the time from this process.
        process.kill(calls.pid, 'SIGSTOP')
        kernel.count(calls.pid, reports)
        process.kill(calls.pid, 'SIGCONT')
      }
      const counts = new Map(policies.map((policy) => [policy.name, { events: 0, marked: 0 }]))
      const wrong: string[] = []
      for (const { policy, report, calls: seen } of reports.values()) {
        const count = counts.get(policy)
        const [file = '', mask = ''] = report.args
        // The standard input and output of a process have no path.
        if (count === undefined || file === 'file_arg ') continue
        count.events += seen
        if (file.endsWith(MARK)) {
          count.marked += seen
          continue
        }
        const path = paths.find((each) => file === `file_arg ${top}/${each}`)
        const call = {
          call: 'security_file_permission',
          args: [
            { kind: 'path', text: `${top}/${path}` },
            { kind: 'number', value: 4n },
          ],
          returned: 0n,
        } as const
        const [filters] = policies.filter((each) => each.name === policy).map(({ hooks }) => hooks[0])
        const want = path === undefined || filters === undefined ? undefined : predicted(filters, call)
        if (want === undefined || !accepts(want, report)) {
          wrong.push(`${policy}: selector ${report.selector}, ${file}, ${mask}`)
        }
      }
      t.diagnostic(`${reads} reads, ${moves} moves: ${JSON.stringify(Object.fromEntries(counts))}`)
      t.diagnostic(JSON.stringify(kernel.counters()))
      // Checked first, because a lost call is not a wrong verdict.
      assert.deepEqual(kernel.losses(), {})
      assert.deepEqual(wrong.slice(0, 5), [])
      for (const each of hits) assert.equal(counts.get(each.name)?.events, reads, each.name)
      for (const each of misses) {
        const { events = 0, marked = 0 } = counts.get(each.name) ?? {}
        assert.equal(events, marked, each.name)
      }
      assert.ok(!racing || raced() > 0, 'no walk met a rename: the test shows nothing')
    })
  }
})
