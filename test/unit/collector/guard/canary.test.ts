/** When the agent tests its hooks, and its findings. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { release } from 'node:os'
import { test } from 'node:test'
import { parse } from 'yaml'
import { accesses } from '../../../../collector/guard/accesses.ts'
import { Canary } from '../../../../collector/guard/canary.ts'
import type { AttachKind } from '../../../../native/types.ts'
import { parseRelease } from '../../../../collector/kernel/read-facts.ts'
import { screened } from '../../../../collector/kernel/programs/gate.ts'
import { kernel } from '../support/facts.ts'
import { cpuMs } from '../../../support/measure/cpu.ts'

const HOUR_MS = 3_600_000

class Hook {
  runs = 0n
  silent = false
  /** The program remembers the cgroup, whose calls end early and are not counted. */
  remembers = true
  readonly symbol: string
  readonly link: { readonly kind: AttachKind }
  failure: Error | undefined
  readonly calls = (): bigint => {
    if (this.failure !== undefined) throw this.failure
    return this.runs
  }

  constructor(symbol: string, kind: AttachKind = 'fexit') {
    this.symbol = symbol
    this.link = { kind }
  }
}

interface Rig {
  readonly hooks: Hook[]
  readonly canary: Canary
  /** Number of tests; several accesses at a time count as one. */
  acts: number
  /** The first function of each access. */
  readonly made: string[]
  /** Functions whose accesses are refused before they reach them. */
  readonly refused: Set<string>
  /** Silent hooks, as text. */
  check(ms: number): string[]
}

function rig(minor = 12): Rig {
  const made: Rig = {
    hooks: [],
    acts: 0,
    made: [],
    refused: new Set(),
    canary: new Canary({
      facts: kernel(6, minor),
      functions: () => made.hooks,
      forget: () => {
        made.acts++
        for (const hook of made.hooks) hook.remembers = false
      },
      make: ({ calls, mayCall }) => {
        const functions = [...calls, ...mayCall]
        made.made.push(functions[0] ?? '')
        if (functions.some((name) => made.refused.has(name))) return false
        for (const hook of made.hooks.filter(({ symbol }) => functions.includes(symbol))) {
          if (!hook.silent && !hook.remembers) hook.runs++
          hook.remembers = true
        }
        return true
      },
    }),
    check: (ms) => made.canary.check(ms).map(({ kind, on }) => `${kind} ${on}`),
  }
  return made
}

test('canary: without a free descriptor the test waits for the next check', () => {
  const r = rig()
  const hook = new Hook('security_file_permission')
  r.hooks.push(hook)
  assert.deepEqual(r.check(0), [])
  r.hooks.push(new Hook('security_file_open'))
  for (const code of ['NO_DESCRIPTORS', 'EMFILE']) {
    hook.failure = Object.assign(new Error('none is left'), { code })
    assert.deepEqual([r.check(2_000), r.acts], [[], 1])
  }
  hook.failure = new Error('another')
  assert.throws(() => r.check(4_000), /another/)
  hook.failure = undefined
  assert.deepEqual([r.check(6_000), r.acts, r.check(8_000), r.acts], [[], 2, [], 2])
})

test('canary: tests run at the start, after each new attachment, and each hour', () => {
  const r = rig()
  r.hooks.push(new Hook('security_file_permission'))
  const acts = (ms: number): number => {
    assert.deepEqual(r.check(ms), [])
    return r.acts
  }
  assert.deepEqual([0, 2_000, HOUR_MS - 1].map(acts), [1, 1, 1])
  assert.deepEqual([HOUR_MS, HOUR_MS + 1].map(acts), [2, 2])
  r.hooks.push(new Hook('security_mmap_file'))
  assert.deepEqual([HOUR_MS + 2, HOUR_MS + 3].map(acts), [3, 3])
})

test('canary: a silent hook is found, and tested at each check until it runs again', () => {
  const r = rig()
  const [well, silent] = [new Hook('fd_install', 'kprobe.multi'), new Hook('security_file_open', 'kprobe')]
  silent.silent = true
  r.hooks.push(well, silent)
  assert.deepEqual(r.check(0), ['hook_silent security_file_open (kprobe)'])
  assert.deepEqual(r.check(2_000), ['hook_silent security_file_open (kprobe)'])
  silent.silent = false
  assert.deepEqual(r.check(4_000), [])
  assert.deepEqual(r.check(6_000), [])
  // A program that did not run is given three calls each time.
  assert.equal(r.acts, 3 + 3 + 1)
})

test('canary: a single missed call is no finding', () => {
  const r = rig()
  const hook = new Hook('security_path_rename')
  r.hooks.push(hook)
  let left = 2
  Object.defineProperty(hook, 'silent', { get: () => left-- > 0 })
  assert.deepEqual([r.check(0), r.acts], [[], 3])
})

test('canary: an access is made for functions that are hooked, and no other', () => {
  const r = rig()
  r.hooks.push(...['vfs_rmdir', 'security_path_unlink', 'do_exit'].map((symbol) => new Hook(symbol)))
  assert.deepEqual(r.check(0), [])
  assert.deepEqual(r.made, ['security_path_unlink', 'security_path_rmdir'])
})

test('canary: an access refused before it reached the function proves nothing', () => {
  const r = rig()
  const [chown, rename] = [new Hook('security_path_chown'), new Hook('security_path_rename')]
  for (const hook of [chown, rename]) hook.silent = true
  r.hooks.push(chown, rename)
  r.refused.add('security_path_chown')
  assert.deepEqual(r.check(0), ['hook_silent security_path_rename (fexit)'])
  // Called by another access, it is.
  const setattr = new Hook('security_inode_setattr')
  setattr.silent = true
  r.hooks.push(setattr)
  r.refused.clear()
  r.refused.add('chown_common')
  assert.deepEqual(r.check(1), [
    'hook_silent security_path_rename (fexit)',
    'hook_silent security_inode_setattr (fexit)',
  ])
})

test('canary: a function that a kernel may have inlined is judged once it was seen to run', () => {
  const r = rig()
  const [inlined, called] = [new Hook('vfs_unlink'), new Hook('vfs_rename')]
  inlined.silent = true
  r.hooks.push(inlined, called)
  assert.deepEqual(r.check(0), [])
  called.silent = true
  assert.deepEqual(r.check(HOUR_MS), ['hook_silent vfs_rename (fexit)'])
  called.silent = false
  assert.deepEqual(r.check(HOUR_MS + 1), [])
})

test('canary: only functions are judged that the access calls on this kernel', () => {
  for (const [minor, called, not] of [
    [1, 'security_path_truncate', 'security_file_truncate'],
    [2, 'security_file_truncate', 'security_path_truncate'],
  ] as const) {
    const r = rig(minor)
    r.hooks.push(...['do_exit', called, not].map((symbol) => new Hook(symbol)))
    for (const hook of r.hooks) hook.silent = true
    assert.deepEqual(r.check(0), [`hook_silent ${called} (fexit)`])
  }
})

test('canary: without attached hooks nothing is tested', () => {
  const r = rig()
  r.hooks.push(new Hook('do_exit'))
  assert.deepEqual(r.check(0), [])
  assert.equal(r.acts, 0)
})

test('canary: calls of a function are the first words of its scratch on all CPUs', () => {
  const value = Buffer.alloc(48)
  value.writeBigUInt64LE(2n ** 40n, 0)
  value.writeBigUInt64LE(7n, 24)
  value.fill(0xff, 32)
  let closed = 0
  const scratch = { info: { perCpu: 2 }, lookup: () => value, [Symbol.dispose]: () => void closed++ }
  const object = { map: (name: string) => (assert.equal(name, 'scratch'), scratch) }
  const [other, entry] = [{ kind: 'kretprobe' }, { kind: 'kprobe' }]
  const [found] = screened({ symbol: 'f', gate: { links: [other, entry] }, programs: { object, slot: 1 } } as never)
  assert.deepEqual([found?.symbol, found?.link, found?.calls(), closed], ['f', entry, 2n ** 40n + 7n, 1])
})

test('accesses: each reaches its functions, leaves nothing behind, and takes less than a millisecond of processor time', () => {
  const [major, minor] = parseRelease(release())
  const before = [readFileSync('/proc/self/comm', 'utf8'), statSync('/proc/self/comm').mode]
  const names = readdirSync('/proc/self/net').toSorted()
  for (const { calls, mayCall, make } of accesses(kernel(major, minor))) {
    assert.equal(make(), true, [...calls, ...mayCall].join(' '))
    const times = Array.from({ length: 9 }, () => {
      const fromMs = cpuMs()
      make()
      return cpuMs() - fromMs
    })
    assert.ok(Math.min(...times) < 1, `${[...calls, ...mayCall].join(' ')}: ${Math.min(...times)} ms`)
  }
  assert.deepEqual([readFileSync('/proc/self/comm', 'utf8'), statSync('/proc/self/comm').mode], before)
  assert.deepEqual(readdirSync('/proc/self/net').toSorted(), names)
})

test('accesses: hooks of file-integrity.yaml with and without a test access', () => {
  const file = new URL('../../../../config/policies/optional/file-integrity.yaml', import.meta.url)
  const hooks: ReadonlyArray<{ readonly call: string }> = parse(readFileSync(file, 'utf8')).spec.kprobes
  const tested = new Set(
    [kernel(5, 10), kernel(6, 12)].flatMap((facts) =>
      accesses(facts).flatMap(({ calls, mayCall }) => [...calls, ...mayCall]),
    ),
  )
  const [some, without] = [true, false].map((wanted) =>
    [...new Set(hooks.map(({ call }) => call))].filter((call) => tested.has(call) === wanted).toSorted(),
  )
  assert.deepEqual(some, [
    'chmod_common',
    'chown_common',
    'may_open',
    'security_file_mprotect',
    'security_file_open',
    'security_file_permission',
    'security_file_truncate',
    'security_mmap_file',
    'security_path_rename',
    'security_path_truncate',
    'vfs_rename',
    'vfs_rmdir',
    'vfs_unlink',
    'vfs_utimes',
  ])
  // docs/explanation/security.md says so.
  assert.deepEqual(without, [
    'path_mount',
    'security_bprm_check',
    'security_inode_create',
    'security_inode_mkdir',
    'security_inode_rename',
    'security_move_mount',
    'security_path_mkdir',
    'security_path_mknod',
    'vfs_fileattr_set',
    'vfs_link',
    'vfs_remove_acl',
    'vfs_removexattr',
    'vfs_set_acl',
    'vfs_setxattr',
    'vfs_symlink',
    'vfs_tmpfile',
    'vfs_truncate',
  ])
})
