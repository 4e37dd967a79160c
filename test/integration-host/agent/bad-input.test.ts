/**
 * Starts that must fail: a clear message, and exit code 78 (the user's configuration) or 1 (the machine). The kernel plays records where a start comes
 * that far; test/e2e/bad-input.test.ts has the parts that a real kernel must not keep.
 */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { REPLAYED, cannotReplay, hostFolder } from '../../e2e/support/agent.ts'
import { KTRAIL, configFile, run } from '../../e2e/support/faults.ts'
import { BAD_POLICIES, GOOD } from '../../support/policies/bad.ts'

const skip = cannotReplay()

describe('bad policies', { skip }, () => {
  it('bad policies together: exit code 78, and each is reported with its position and message', async () => {
    const folder = hostFolder('bad')
    const config = withKeys(folder, { policies: BAD_POLICIES.map((_, i) => join(folder, `${i}`, 'p.yaml')) })
    for (const [i, { text }] of BAD_POLICIES.entries()) {
      mkdirSync(join(folder, `${i}`))
      writeFileSync(join(folder, `${i}`, 'p.yaml'), text)
    }
    const { code, stdout, stderr } = await run([...REPLAYED, config])
    assert.equal(code, 78, stderr.slice(0, 3000))
    assert.equal(stdout, '')
    assert.doesNotMatch(stderr, /^\s+at .*\.ts:\d+/m)
    const ofFile = (i: number): string =>
      stderr
        .split('\n')
        .filter((line) => line.startsWith(`${folder}/${i}/p.yaml:`))
        .join('\n')
    for (const [i, { name, message }] of BAD_POLICIES.entries()) {
      assert.match(ofFile(i), message, name)
      assert.ok(ofFile(i).length < 10_000, `${name}: ${ofFile(i).length} characters for one mistake`)
    }
  })

  it('an empty file alone: exit code 78, with its position', async () => {
    const folder = hostFolder('bad')
    writeFileSync(join(folder, 'p.yaml'), '')
    const { code, stderr } = await run([...REPLAYED, withKeys(folder, { policies: [join(folder, 'p.yaml')] })])
    assert.equal(code, 78, stderr.slice(0, 3000))
    assert.match(stderr, /p\.yaml:1:1: .*empty/)
  })
})

/** A config around one key that is wrong; the rest is good. */
function withKeys(folder: string, keys: Readonly<Record<string, unknown>>): string {
  return configFile(folder, {
    policies: [join(folder, 'policies')],
    procfs: folder,
    server: { http: '127.0.0.1:0' },
    exporters: { archive: { type: 'file', path: join(folder, 'events.jsonl') } },
    ...keys,
  })
}

const archive = (file: string): Readonly<Record<string, unknown>> => ({
  exporters: { a: { type: 'file', path: file } },
})

/** Runs `mounts` and then the command in its own mount namespace. */
const unshared = (mounts: string): readonly string[] => ['unshare', '-m', 'sh', '-ec', `${mounts}; exec "$0" "$@"`]

interface BadStart {
  readonly name: string
  readonly code: 1 | 78
  readonly message: RegExp
  /** Sets up the failure; returns the config's keys. */
  readonly keys?: (folder: string) => Readonly<Record<string, unknown>>
  /** Wrapper of `ktrail run` on this host, for starts that end before they need a kernel. Without it, the agent runs on a replayed kernel. */
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
    message: /\/none: cannot read: .*ENOENT/,
    keys: (folder) => ({ policies: [join(folder, 'none')] }),
  },
]

describe('bad starts', { skip }, () => {
  for (const { name, code, message, keys, wrapper } of badStarts) {
    it(`${name}: exit code ${code}`, async () => {
      const folder = hostFolder('bad')
      mkdirSync(join(folder, 'policies'))
      writeFileSync(join(folder, 'policies/p.yaml'), GOOD)
      chmodSync(folder, 0o755)
      const config = withKeys(folder, keys?.(folder) ?? {})
      const program = wrapper === undefined ? REPLAYED : [...wrapper, KTRAIL, 'run', '--config']
      const got = await run([...program, config])
      assert.equal(got.code, code, got.stderr.slice(0, 3000))
      assert.match(got.stderr, message)
      assert.doesNotMatch(got.stderr, /^\s+at .*\.ts:\d+/m)
    })
  }
})
