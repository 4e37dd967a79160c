/**
 * The inode number of a file that is gone belongs to the next file. Filters by identity must not match that one, also on file systems that give every
 * file the same generation (overlay, FUSE); ext4 has generations, and reuses a number at once.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { linkSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { actBinary, line, runAct, scriptFile } from '../support/act.ts'
import { TestAgent, cannotRun } from '../support/agent.ts'
import { kernelAtLeast } from '../support/kernel.ts'
import { policy } from '../support/policy.ts'
import { mountFileSystem, mountOverlay } from './file-system.ts'

const skip = cannotRun() || (!kernelAtLeast(5, 17) && 'SameFile needs 5.17')
/** New files, of which one gets the number. */
const FILES = Array.from({ length: 24 }, (_, i) => `new-${i}`)

interface Gone {
  readonly way: string
  readonly file: string
  /** Leaves nothing of the file. */
  readonly lines: (at: (name: string) => string) => readonly string[]
}

const GONE: readonly Gone[] = [
  {
    way: 'replaced by a rename',
    file: 'same-replaced',
    lines: (at) => [line('create', at('fresh')), line('rename', at('fresh'), at('same-replaced'))],
  },
  { way: 'removed', file: 'same-removed', lines: (at) => [line('unlink', at('same-removed'))] },
  {
    way: 'its name is replaced, then its other link is removed',
    file: 'same-linked',
    lines: (at) => [
      line('create', at('fresh')),
      line('rename', at('fresh'), at('same-linked')),
      line('unlink', at('link-of-same-linked')),
    ],
  },
  {
    way: 'removed from a folder, and its number belongs to a file with two links',
    file: 'below/linked',
    lines: (at) => [line('unlink', at('below/linked')), line('unlink', at('link-of-linked'))],
  },
]

describe('numbers of files that are gone', { skip }, () => {
  let agent: TestAgent
  const folders = new Map<string, string>()
  const places: ReadonlyArray<readonly [string, () => string]> = [
    ['ext4', () => mountFileSystem('ext4')],
    ['overlay over ext4', () => mountOverlay(mountFileSystem('ext4'))],
  ]
  const at = (place: string, name: string): string => join(folders.get(place) ?? '', name)

  before(async () => {
    for (const [place, mounts] of places) {
      folders.set(place, mounts())
      mkdirSync(at(place, 'below'))
      writeFileSync(at(place, 'link-of-linked'), 'x')
      for (const file of [...GONE.map((gone) => gone.file), 'same-busy'].filter((name) => name.startsWith('same')))
        writeFileSync(at(place, file), 'x')
      linkSync(at(place, 'same-linked'), at(place, 'link-of-same-linked'))
      // A file gets a number near that of its first folder.
      linkSync(at(place, 'link-of-linked'), at(place, 'below/linked'))
    }
    const everywhere = (names: readonly string[]): string[] =>
      places.flatMap(([place]) => names.map((name) => at(place, name)))
    const same = [...GONE.map(({ file }) => file).filter((file) => file.startsWith('same')), 'same-busy']
    const selectors = [
      { matchArgs: [{ index: 0, operator: 'SameFile', values: everywhere(same) }] },
      { matchArgs: [{ index: 0, operator: 'UnderDir', values: everywhere(['below']) }] },
    ]
    const document = policy('numbers', [
      { call: 'security_file_open', syscall: false, args: [{ index: 0, type: 'file' }], selectors },
      {
        call: 'security_inode_link',
        syscall: false,
        args: [
          { index: 0, type: 'dentry' },
          { index: 2, type: 'dentry' },
        ],
        selectors,
      },
    ]).replace('cilium.io/', 'ktrail.dev/')
    agent = await TestAgent.start({ policies: { 'numbers.yaml': document }, readyMs: 400_000 })
  })
  after(() => agent[Symbol.asyncDispose]())

  /** Paths that are reported. */
  async function reported(lines: readonly string[], first = (): unknown => undefined): Promise<string[]> {
    first()
    const events = await agent.during(() => runAct(lines))
    return events.flatMap(({ process_kprobe: event }) => {
      const [file] = event?.args ?? []
      return file === undefined ? [] : [file.file_arg?.path ?? file.path_arg?.path ?? JSON.stringify(file)]
    })
  }

  for (const [place] of places) {
    for (const { way, file, lines } of GONE) {
      test(`${place}: ${way}`, async () => {
        const { ino } = statSync(at(place, file))
        const inside = (name: string): string => at(place, name)
        const fresh = FILES.map((name) => inside(`${basename(file)}-${name}`))
        const seen = await reported([
          ...lines(inside),
          ...fresh.map((path) => line('create', path)),
          ...fresh.map((path) => line('link', path, `${path}-link`)),
          ...fresh.map((path) => line('read', path)),
        ])
        assert.ok(
          fresh.some((path) => statSync(path).ino === ino),
          `no new file has the number ${ino}`,
        )
        assert.deepEqual(
          seen.filter((path) => path.includes('-new-')),
          [],
        )
      })
    }

    test(`${place}: a file that a rename could not replace, and a link that is made of it, still match`, async () => {
      const [busy, other, link] = ['same-busy', 'other', 'link-of-same-busy'].map((name) => at(place, name))
      const refused = `"$0" ${scriptFile([line('create', other ?? ''), line('private'), line('bind', busy ?? '', busy ?? ''), line('rename', other ?? '', busy ?? '')])}; [ $? = 100 ]`
      const later = [line('link', busy ?? '', link ?? ''), line('read', busy ?? ''), line('read', link ?? '')]
      const seen = await reported(later, () => execFileSync('sh', ['-c', refused, actBinary()], { stdio: 'ignore' }))
      assert.deepEqual(
        seen.map((path) => basename(path)),
        ['same-busy', 'same-busy', 'link-of-same-busy'],
      )
    })
  }
})
