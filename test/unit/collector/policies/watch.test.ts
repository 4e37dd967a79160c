/** Paths are checked soon after a change, and otherwise rarely. */
import assert from 'node:assert/strict'
import { lstatSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import type { FSWatcher } from 'node:fs'
import { EventEmitter } from 'node:events'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { watchTargets } from '../../../../collector/policies/watch-targets.ts'
import { PathWatch } from '../../../../collector/policies/watch.ts'
import type { WatchOptions } from '../../../../collector/policies/watch.ts'
import { Folder } from '../../exporters/support/folder.ts'

/** Deadline of a test whose watch sees nothing: less than the ten seconds of a poll. */
const DEADLINE = { timeout: 8_000 }

class Looks {
  seen = 0
  readonly reasons: string[] = []
  readonly #waiting = new Set<() => void>()
  /** If set, a check takes this long. */
  busy: Promise<void> | undefined

  readonly options: WatchOptions = {
    look: async () => {
      this.seen++
      for (const check of this.#waiting) check()
      await this.busy
    },
    onPolls: (reason) => void this.reasons.push(reason),
  }

  /** Resolves at the `count`th check; the deadline is the test runner's. */
  until(count: number): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (this.seen < count) return
        this.#waiting.delete(check)
        resolve()
      }
      this.#waiting.add(check)
      check()
    })
  }

  /** Does `change` and waits for a check after it. */
  async after(change: () => void): Promise<void> {
    const next = this.seen + 1
    change()
    await this.until(next)
  }
}

/** A configmap as kubelet writes it: the files are links through `..data`, which a rename swaps. */
function kubernetesVolume(folder: Folder): { readonly swap: () => void } {
  let version = 1
  const write = (): void => {
    mkdirSync(folder.at(`..v${version}`))
    writeFileSync(folder.at(`..v${version}/a.yaml`), `${version}`)
    symlinkSync(`..v${version}`, folder.at('..data_tmp'))
    renameSync(folder.at('..data_tmp'), folder.at('..data'))
  }
  write()
  symlinkSync('..data/a.yaml', folder.at('a.yaml'))
  return {
    swap: () => {
      version++
      write()
      rmSync(folder.at(`..v${version - 1}`), { recursive: true })
    },
  }
}

interface Change {
  readonly name: string
  /** Makes the given files; returns the watched paths and the changes, one step a check. */
  readonly make: (folder: Folder) => { readonly paths: readonly string[]; readonly steps: ReadonlyArray<() => void> }
}

const CHANGES: readonly Change[] = [
  {
    name: 'a file added to a folder, written again, removed',
    make: (folder) => ({
      paths: [folder.path],
      steps: [
        () => writeFileSync(folder.at('a.yaml'), '1'),
        () => writeFileSync(folder.at('a.yaml'), '2'),
        () => rmSync(folder.at('a.yaml')),
      ],
    }),
  },
  {
    name: 'a file replaced by a rename, twice',
    make: (folder) => {
      writeFileSync(folder.at('a.yaml'), '0')
      const replace = (): void => {
        writeFileSync(folder.at('new'), '1')
        renameSync(folder.at('new'), folder.at('a.yaml'))
      }
      return { paths: [folder.at('a.yaml')], steps: [replace, replace] }
    },
  },
  {
    name: 'a file moved away, another one in its place',
    make: (folder) => {
      writeFileSync(folder.at('a.yaml'), '0')
      return {
        paths: [folder.at('a.yaml')],
        steps: [
          () => renameSync(folder.at('a.yaml'), folder.at('a.yaml~')),
          () => writeFileSync(folder.at('a.yaml'), '1'),
          () => writeFileSync(folder.at('a.yaml'), '2'),
        ],
      }
    },
  },
  {
    name: 'a folder that comes, goes and comes back',
    make: (folder) => {
      const come = (): void => mkdirSync(folder.at('p'))
      return {
        paths: [folder.at('p')],
        steps: [
          come,
          () => rmSync(folder.at('p'), { recursive: true }),
          come,
          () => writeFileSync(folder.at('p/a.yaml'), '1'),
        ],
      }
    },
  },
  {
    name: 'a folder swapped for another',
    make: (folder) => {
      mkdirSync(folder.at('p'))
      mkdirSync(folder.at('q'))
      return {
        paths: [folder.at('p')],
        steps: [
          () => {
            renameSync(folder.at('p'), folder.at('old'))
            renameSync(folder.at('q'), folder.at('p'))
          },
          () => writeFileSync(folder.at('p/a.yaml'), '1'),
        ],
      }
    },
  },
  {
    name: 'the volume of a Kubernetes ConfigMap, as a folder',
    make: (folder) => {
      const { swap } = kubernetesVolume(folder)
      return { paths: [folder.path], steps: [swap, swap] }
    },
  },
  {
    name: 'the volume of a Kubernetes ConfigMap, one file of it',
    make: (folder) => {
      const { swap } = kubernetesVolume(folder)
      return { paths: [folder.at('a.yaml')], steps: [swap, swap] }
    },
  },
  {
    name: 'a symlink to a folder that is turned, and the target of a linked file',
    make: (folder) => {
      for (const name of ['one', 'two', 'else']) mkdirSync(folder.at(name))
      writeFileSync(folder.at('else/b.yaml'), '0')
      symlinkSync('../else/b.yaml', folder.at('two/a.yaml'))
      symlinkSync('one', folder.at('p'))
      return {
        paths: [folder.at('p')],
        steps: [
          () => {
            symlinkSync('two', folder.at('new'))
            renameSync(folder.at('new'), folder.at('p'))
          },
          () => writeFileSync(folder.at('else/b.yaml'), '1'),
        ],
      }
    },
  },
]

for (const { name, make } of CHANGES) {
  test(`watch: checks after each change of ${name}`, DEADLINE, async () => {
    using folder = new Folder()
    const { paths, steps } = make(folder)
    const looks = new Looks()
    using watching = new PathWatch(paths, looks.options)
    assert.ok(watching)
    await looks.until(1)
    for (const step of steps) await looks.after(step)
  })
}

test('watch: many changes within a moment are one check', DEADLINE, async () => {
  using folder = new Folder()
  const looks = new Looks()
  using watching = new PathWatch([folder.path], looks.options)
  assert.ok(watching)
  await looks.until(1)
  await looks.after(() => {
    for (let i = 0; i < 50; i++) writeFileSync(folder.at(`${i}.yaml`), 'x')
  })
  assert.equal(looks.seen, 2)
})

test('watch: a change during a check is followed by another check', DEADLINE, async () => {
  using folder = new Folder()
  const looks = new Looks()
  using watching = new PathWatch([folder.path], looks.options)
  assert.ok(watching)
  await looks.until(1)
  const slow = Promise.withResolvers<void>()
  looks.busy = slow.promise
  await looks.after(() => writeFileSync(folder.at('a.yaml'), '1'))
  writeFileSync(folder.at('a.yaml'), '2')
  await new Promise((resolve) => setTimeout(resolve, 300)) // the event has arrived by then
  assert.equal(looks.seen, 2)
  looks.busy = undefined
  slow.resolve()
  await looks.until(3)
})

/** Watches that get no event, or that the kernel refuses. */
class FakeWatch {
  open = 0
  refuses: string | undefined
  #last: FSWatcher | undefined

  readonly watch = (() => {
    if (this.refuses !== undefined) throw Object.assign(new Error(this.refuses), { code: this.refuses })
    this.open++
    const close = (): number => this.open--
    this.#last = Object.assign(new EventEmitter(), { close }) as unknown as FSWatcher
    return this.#last
  }) as unknown as NonNullable<WatchOptions['watch']>

  fail(): void {
    this.#last?.emit('error', new Error('gone'))
  }
}

const STEP_MS = 10_000

/** The next check comes after `ms`, in steps, and not earlier. */
async function nextAfter(context: TestContext, looks: Looks, ms: number): Promise<void> {
  const { seen } = looks
  await turn() // The timer is set after the check.
  // In steps, because a timer set within a tick counts from the end of the tick.
  for (let at = 0; at < ms - STEP_MS; at += STEP_MS) context.mock.timers.tick(STEP_MS)
  context.mock.timers.tick(STEP_MS - 1)
  await turn()
  assert.equal(looks.seen, seen)
  context.mock.timers.tick(1)
  await looks.until(seen + 1)
}
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

test(
  'watch: without events it checks after a mount or a refusal, else every ten minutes, and never once disposed',
  DEADLINE,
  async (context) => {
    using folder = new Folder()
    const looks = new Looks()
    const fake = new FakeWatch()
    let mounted: string | undefined = 'one'
    let again = false
    const looksAgain = (): boolean => again
    const mounts = (): string => mounted ?? assert.fail('no /proc')
    context.mock.timers.enable({ apis: ['setTimeout'] })
    const watching = new PathWatch([folder.path, folder.at('none')], {
      ...looks.options,
      watch: fake.watch,
      mounts,
      looksAgain,
    })
    await looks.until(1)
    await nextAfter(context, looks, 600_000)
    mounted = 'one two'
    await nextAfter(context, looks, 60_000)
    await nextAfter(context, looks, 600_000)
    again = true
    await nextAfter(context, looks, 60_000)
    again = false
    mounted = undefined
    await nextAfter(context, looks, 60_000)
    await nextAfter(context, looks, 60_000)
    assert.deepEqual(looks.reasons, [])
    await turn()
    watching[Symbol.dispose]()
    watching[Symbol.dispose]()
    context.mock.timers.tick(120_000)
    await turn()
    assert.deepEqual([looks.seen, fake.open], [7, 0])
  },
)

test(
  'watch: if the kernel has no watch left it checks every ten seconds, and gives the reason once',
  DEADLINE,
  async (context) => {
    using folder = new Folder()
    const looks = new Looks()
    const fake = new FakeWatch()
    fake.refuses = 'ENOSPC'
    context.mock.timers.enable({ apis: ['setTimeout'] })
    using watching = new PathWatch([folder.path], { ...looks.options, watch: fake.watch })
    assert.ok(watching)
    await looks.until(1)
    await nextAfter(context, looks, 10_000)
    await nextAfter(context, looks, 10_000)
    assert.deepEqual(looks.reasons, [
      'the limit of inotify watches is reached; raise sysctl fs.inotify.max_user_watches',
    ])
    fake.refuses = 'EMFILE'
    await nextAfter(context, looks, 10_000)
    assert.match(looks.reasons.slice(1).join(), /^the limit is reached; .*max_user_instances, or ulimit -n$/)
    fake.refuses = undefined
    await nextAfter(context, looks, 10_000)
    await nextAfter(context, looks, 600_000)
    assert.equal(looks.reasons.length, 2)
  },
)

test('watch: a failed watch is replaced', DEADLINE, async () => {
  using folder = new Folder()
  const looks = new Looks()
  const fake = new FakeWatch()
  using watching = new PathWatch([folder.path], { ...looks.options, watch: fake.watch })
  assert.ok(watching)
  await looks.until(1)
  await looks.after(() => fake.fail())
  assert.equal(fake.open, 1)
})

test('watch: if the reason for polling differs each time, the first five are reported', DEADLINE, async () => {
  using folder = new Folder()
  writeFileSync(folder.at('a.yaml'), '')
  const looks = new Looks()
  let calls = 0
  let change = (): void => {}
  const watch = ((_: string, changed: (event: string, name: null) => void) => {
    if (++calls % 2 === 0) throw new Error(`refusal ${calls}`)
    change = () => changed('change', null)
    return Object.assign(new EventEmitter(), { close: () => {} })
  }) as unknown as NonNullable<WatchOptions['watch']>
  using _ = new PathWatch([folder.path], { ...looks.options, watch })
  await looks.until(1)
  for (let i = 0; i < 7; i++) await looks.after(change)
  assert.equal(new Set(looks.reasons).size, 5)
})

test('watch targets: the path, its files, and the directories of links with the names that matter', async () => {
  using folder = new Folder()
  kubernetesVolume(folder)
  symlinkSync(folder.path, folder.at('p'))
  const { names, unseen } = await watchTargets([folder.at('p/./..v1/../a.yaml'), folder.at('p'), folder.at('no/such')])
  const shown = Object.fromEntries(
    [...names].map(([path, only]) => [path.slice(folder.path.length), only && [...only]]),
  )
  assert.deepEqual(shown, { '': undefined, '/..v1/a.yaml': undefined })
  assert.equal(unseen, undefined)
  const one = await watchTargets([folder.at('p/a.yaml'), folder.at('no/such'), 'library:default'])
  assert.deepEqual([...(one.names.get(folder.path) ?? [])].toSorted(), ['..data', 'a.yaml', 'no', 'p'])
  assert.ok(!one.names.has(process.cwd()), 'a name of the library is no path')
})

test('watch targets: a link to itself ends', async () => {
  using folder = new Folder()
  symlinkSync('loop', folder.at('loop'))
  const { names } = await watchTargets([folder.at('loop')])
  assert.deepEqual([...names], [[folder.path, new Set(['loop'])]])
})

test('watch targets: a file system that may not report changes is named', async () => {
  assert.ok(lstatSync('/proc/self').isSymbolicLink())
  const { unseen } = await watchTargets(['/proc/sys/kernel'])
  assert.equal(unseen, '/proc/sys/kernel is on a file system that may not report changes')
})
