/**
 * Starts that must fail: a clear message, exit code 78 (the user's configuration) or 1 (the machine), nothing left in the
 * kernel, no lock. Afterwards a normal start works.
 */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { TestAgent, cannotRun, freshFolder } from './support/agent.ts'
import { KTRAIL, configFile, leftovers, nothingLeft, run } from './support/faults.ts'
import { fileHook, path, policy } from './support/policy.ts'

const skip = cannotRun()
if (skip !== false) console.log(`bad-input: skipped: ${skip}`)

const GOOD = policy('good', [fileHook([path('Prefix', '/tmp/nobody-reads-this/')])])

/** The good hook with other keys. */
const hook = (keys: Readonly<Record<string, unknown>>): string =>
  policy('bad', [{ ...fileHook([path('Prefix', '/etc/')]), ...keys }])

/** The good hook on another function, without selectors. */
const plain = (call: string, args: readonly object[], keys: Readonly<Record<string, unknown>> = {}): string =>
  policy('bad', [{ call, syscall: false, return: false, args, ...keys }])

const GARBAGE = Buffer.from(Array.from({ length: 1 << 20 }, (_, i) => (i * 7919 + (i >> 9)) & 0xff))

interface BadPolicy {
  readonly name: string
  readonly text: string | Buffer
  readonly message: RegExp
  /** Also tried in a start of its own; each takes seconds. */
  readonly alone?: boolean
}

const badPolicies: readonly BadPolicy[] = [
  { name: 'an empty file', text: '', message: /p\.yaml:1:1: .*empty/, alone: true },
  {
    name: 'tabs',
    text: GOOD.replace(/^ /gm, '\t').replace('{', 'apiVersion:\n\tx: {'),
    message: /p\.yaml:\d+:\d+: .*[Tt]ab/,
  },
  { name: 'two documents', text: `${GOOD}---\n${GOOD}`, message: /p\.yaml:\d+:\d+: .*document/ },
  { name: '1 MB of garbage', text: GARBAGE, message: /p\.yaml:1:\d+: byte 0x[0-9A-F]{2} at offset \d+ is not UTF-8/ },
  { name: '1 MB of brackets', text: '['.repeat(1 << 20), message: /p\.yaml:1:\d+: / },
  {
    name: 'an unknown key',
    text: hook({ retrun: true }),
    message: /p\.yaml:\d+:\d+: .*unknown key "retrun" \(did you mean "return"\?\)/,
  },
  {
    name: 'an unknown function with a similar name',
    text: hook({ call: 'security_file_permision' }),
    message: /p\.yaml:\d+:\d+: no kernel function "security_file_permision": did you mean security_file_permission\?/,
  },
  {
    name: 'an unknown function without a similar name',
    text: hook({ call: 'zzyzx_plugh_xyzzy_frobnicate' }),
    message: /no kernel function "zzyzx_plugh_xyzzy_frobnicate": see \/proc\/kallsyms/,
  },
  {
    name: 'an unknown system call',
    text: policy('bad', [{ call: 'sys_opeenat', syscall: true, args: [{ index: 1, type: 'string' }] }]),
    message: /no kernel function "sys_opeenat" \(looked for __\w+_sys_opeenat; .*\): did you mean sys_openat\?/,
  },
  {
    name: 'an argument of another type than the kernel has',
    text: hook({ args: [{ index: 0, type: 'int' }], selectors: [] }),
    message:
      /p\.yaml:\d+:\d+: argument 0 of security_file_permission: type "int" does not fit, the kernel's is "struct file \*"/,
  },
  {
    name: 'a number read as a file',
    text: plain('security_file_permission', [{ index: 1, type: 'file' }]),
    message: /argument 1 of security_file_permission: type "file" does not fit, the kernel's is "int"/,
  },
  {
    name: 'an argument beyond the prototype',
    text: plain('security_file_permission', [{ index: 2, type: 'int' }]),
    message: /argument index 2 of security_file_permission: expected 0 to 1, the function takes 2 arguments/,
  },
  {
    name: 'an argument of a function without arguments',
    text: plain('schedule', [{ index: 0, type: 'int' }]),
    message: /argument index 0 of schedule: /,
  },
  {
    name: 'a return value of another type',
    text: hook({ returnArg: { index: 0, type: 'file' } }),
    message: /return value of security_file_permission: type "file" does not fit, the kernel's is "int"|returnArg/,
  },
  {
    name: 'a return value of a function that returns nothing',
    text: plain('security_inode_free', [], { return: true, returnArg: { index: 0, type: 'int' } }),
    message: /return value of security_inode_free: type "int" does not fit, the kernel's is "void"/,
  },
  {
    name: 'a bad hook after a good one: no hook of the policy is attached',
    text: policy('bad', [
      fileHook([path('Prefix', '/etc/')]),
      { call: 'security_path_trunkate', syscall: false, args: [{ index: 0, type: 'path' }] },
    ]),
    message: /no kernel function "security_path_trunkate": did you mean security_path_truncate\?/,
    alone: true,
  },
  {
    name: 'a function that cannot be traced, after a good hook',
    text: policy('bad', [
      fileHook([path('Prefix', '/etc/')]),
      { call: 'notrace_is_no_function', syscall: false, args: [] },
    ]),
    message: /p\.yaml:\d+:\d+: no kernel function "notrace_is_no_function"/,
  },
]

describe('bad policies', { skip }, () => {
  after(nothingLeft)

  it('all at once: exit code 78, and each is reported with its position and message', async () => {
    const folder = freshFolder('bad')
    const config = withKeys(folder, { policies: badPolicies.map((_, i) => join(folder, `${i}`, 'p.yaml')) })
    for (const [i, { text }] of badPolicies.entries()) {
      mkdirSync(join(folder, `${i}`))
      writeFileSync(join(folder, `${i}`, 'p.yaml'), text)
    }
    const { code, stdout, stderr } = await run([KTRAIL, 'run', '--config', config])
    assert.equal(code, 78, stderr.slice(0, 3000))
    assert.equal(stdout, '')
    assert.doesNotMatch(stderr, /^\s+at .*\.ts:\d+/m)
    const ofFile = (i: number): string =>
      stderr
        .split('\n')
        .filter((line) => line.startsWith(`${folder}/${i}/p.yaml:`))
        .join('\n')
    for (const [i, { name, message }] of badPolicies.entries()) {
      assert.match(ofFile(i), message, name)
      assert.ok(ofFile(i).length < 10_000, `${name}: ${ofFile(i).length} characters for one mistake`)
    }
  })

  for (const { name, text, message } of badPolicies.filter((row) => row.alone === true)) {
    it(`${name}: exit code 78, with its position`, async () => {
      const folder = freshFolder('bad')
      writeFileSync(join(folder, 'p.yaml'), text)
      const config = withKeys(folder, { policies: [join(folder, 'p.yaml')] })
      const { code, stderr } = await run([KTRAIL, 'run', '--config', config])
      assert.equal(code, 78, stderr.slice(0, 3000))
      assert.match(stderr, message)
      await nothingLeft()
    })
  }
})

/** A config around one key that is wrong; the rest is good. */
function withKeys(folder: string, keys: Readonly<Record<string, unknown>>): string {
  return configFile(folder, {
    policies: [join(folder, 'policies')],
    server: { http: '127.0.0.1:0' },
    exporters: { archive: { type: 'file', path: join(folder, 'events.jsonl') } },
    ...keys,
  })
}

const archive = (file: string): Readonly<Record<string, unknown>> => ({
  exporters: { a: { type: 'file', path: file } },
})

/** In a mount name space of its own: `mounts`, then the command. */
const unshared = (mounts: string): readonly string[] => ['unshare', '-m', 'sh', '-ec', `${mounts}; exec "$0" "$@"`]

interface BadStart {
  readonly name: string
  readonly code: 1 | 78
  readonly message: RegExp
  /** Sets up the failure; returns the config's keys. */
  readonly keys?: (folder: string) => Readonly<Record<string, unknown>>
  readonly wrapper?: readonly string[]
}

const badStarts: readonly BadStart[] = [
  {
    name: 'no root',
    code: 1,
    message: /loading BPF programs needs root: expected uid 0, got 65534; run it with sudo/,
    // Node may be in a folder that only root can read.
    wrapper: ['setpriv', '--reuid', '65534', '--inh-caps', '+dac_read_search', '--ambient-caps', '+dac_read_search'],
  },
  {
    name: 'no type information in the kernel',
    code: 1,
    message: /no type information: expected \/sys\/kernel\/btf\/vmlinux \(CONFIG_DEBUG_INFO_BTF=y\)/,
    wrapper: unshared('mount -t tmpfs none /sys/kernel/btf'),
  },
  {
    name: 'no kprobes in the kernel',
    code: 1,
    message: /cannot attach kprobes: expected CONFIG_KPROBES=y and tracefs at \/sys\/kernel\/tracing/,
    wrapper: unshared(
      'mount -t tmpfs none /sys/kernel/tracing; mount -t tmpfs none /sys/kernel/debug; mount -t tmpfs none /sys/bus/event_source/devices',
    ),
  },
  {
    name: 'an output that is a folder',
    code: 1,
    message: /cannot open ".*": expected a file, got a folder \(EISDIR\)/,
    keys: (folder) => {
      mkdirSync(join(folder, 'out'))
      return archive(join(folder, 'out'))
    },
  },
  {
    name: 'a policies folder that does not exist',
    code: 78,
    message: /\/none:1:1: cannot read: .*ENOENT/,
    keys: (folder) => ({ policies: [join(folder, 'none')] }),
  },
]

describe('bad starts', { skip }, () => {
  after(nothingLeft)
  for (const { name, code, message, keys, wrapper = [] } of badStarts) {
    it(`${name}: exit code ${code}`, async () => {
      const folder = freshFolder('bad')
      mkdirSync(join(folder, 'policies'))
      writeFileSync(join(folder, 'policies/p.yaml'), GOOD)
      chmodSync(folder, 0o755)
      const config = withKeys(folder, keys?.(folder) ?? {})
      const got = await run([...wrapper, KTRAIL, 'run', '--config', config])
      assert.equal(got.code, code, got.stderr.slice(0, 3000))
      assert.match(got.stderr, message)
      assert.doesNotMatch(got.stderr, /^\s+at .*\.ts:\d+/m)
      await nothingLeft()
    })
  }

  it('a second agent: exit code 1, and the first continues', async () => {
    await using first = await TestAgent.start({ policies: { 'p.yaml': GOOD } })
    assert.deepEqual(leftovers().includes('the lock'), true)
    const folder = freshFolder('second')
    mkdirSync(join(folder, 'policies'))
    const { code, stderr } = await run([KTRAIL, 'run', '--config', withKeys(folder, {})])
    assert.equal(code, 1, stderr)
    assert.match(stderr, /another ktrail agent runs on this host: stop it first/)
    const lines = await first.during(() => run(['/bin/true', 'still-there']))
    assert.ok(JSON.stringify(lines).includes('still-there'))
    assert.deepEqual(await first.stop(), { code: 0, signal: null })
    await nothingLeft()
  })

  it('a bad policy file while the agent runs: reported, and the effective policies stay', async () => {
    await using agent = await TestAgent.start({ policies: { 'good.yaml': GOOD } })
    const programs = leftovers().toSorted()
    assert.ok(programs.some((what) => what.startsWith('program hook_')))
    for (const { name, text } of badPolicies) {
      if (typeof text !== 'string') continue
      assert.equal(await agent.apply('p', text), 'refused', name)
    }
    assert.equal(await agent.apply('good', hook({ call: 'security_file_permision' })), 'refused')
    assert.equal((await agent.get('/readyz')).status, 200)
    await agent.until('the programs of the refused ones to go', () => leftovers().length === programs.length)
    // Link numbers are unique, so equal lists mean that no link was replaced.
    assert.deepEqual(leftovers().toSorted(), programs)
    assert.deepEqual(await agent.stop(), { code: 0, signal: null })
  })
})

describe('after all bad starts', { skip }, () => {
  before(nothingLeft)
  it('a good start works', async () => {
    await using agent = await TestAgent.start({ policies: { 'p.yaml': GOOD } })
    const lines = await agent.during(() => run(['/bin/true', 'good']))
    assert.ok(JSON.stringify(lines).includes('good'))
    assert.deepEqual(await agent.stop(), { code: 0, signal: null })
    await nothingLeft()
  })
})
