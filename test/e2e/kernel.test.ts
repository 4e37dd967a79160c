/** `ktrail check --kernel` on a real kernel, as root and as another user, and the agent's log of missing features. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import test, { after, describe } from 'node:test'
import { fileURLToPath } from 'node:url'
import { TestAgent, cannotRun, freshFolder, ktrail } from './support/agent.ts'
import { kernelAtLeast } from './support/kernel.ts'
import { policy, fileHook, path } from './support/policy.ts'

const KTRAIL = fileURLToPath(new URL('../../ktrail', import.meta.url))
const skip = cannotRun()
const folder = skip === false ? freshFolder('kernel') : ''

/** Features that Debian's kernels lack, and how the agent attaches hooks without and with a return value. */
const EXPECTED: ReadonlyArray<readonly [release: RegExp, without: string[], entry: string, returns: string]> = [
  [
    /^5\.10\./,
    [
      'bpf_get_func_arg',
      'bpf_loop',
      'types of modules',
      'several signals at a return',
      'kernel stacks at a return',
      'kprobe.multi',
      'maps that grow in tracing programs',
      'raw tracepoints',
      'bpf_rdonly_cast',
      'counters of skipped runs',
      'kprobe.session',
      'error injection',
    ],
    'kprobe',
    'joined entry and return',
  ],
  [
    /^6\.1\./,
    ['kprobe.multi', 'bpf_rdonly_cast', 'counters of skipped runs', 'kprobe.session', 'error injection'],
    'kprobe',
    'fexit',
  ],
  // arm64 has CONFIG_FPROBE since 6.14.
  [/^6\.12\..*-arm64$/, ['kprobe.multi', 'kprobe.session', 'error injection'], 'kprobe', 'fexit'],
  [/^6\.12\./, ['kprobe.session', 'error injection'], 'kprobe.multi', 'fexit'],
  [/^7\.3\./, ['error injection'], 'kprobe.multi', 'kprobe.session'],
]

/** Older kernels lack UnderDir and SameFile. */
const BY_IDENTITY = kernelAtLeast(5, 17)

const expected = EXPECTED.find(([kernel]) => kernel.test(release()))
const unknown = expected === undefined ? `nothing is known of kernel ${release()}` : false

/** A config with one policy. */
function config(name: string, text: string): string {
  const file = join(folder, `${name}.yaml`)
  writeFileSync(file, text)
  const agent = join(folder, `${name}.config.yaml`)
  writeFileSync(agent, JSON.stringify({ policies: [file], exporters: { screen: { type: 'stdout' } } }))
  return agent
}

const lines = (stdout: string, state: string): string[] =>
  stdout
    .split('\n')
    .filter((line) => line.startsWith(`${state} `))
    .map((line) => line.slice(state.length).trim())

/** Another user, who may read files only because Node and the checkout can lie in a folder of root. */
function asNobody(): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const user = ['--reuid=65534', '--clear-groups', '--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search']
  return new Promise((resolve) => {
    const child = execFile('setpriv', [...user, KTRAIL, 'check', '--kernel'], (_, stdout, stderr) =>
      resolve({ code: child.exitCode, stdout, stderr }),
    )
  })
}

let checked: ReturnType<typeof ktrail> | undefined
/** The output for root, which all tests share: a check takes nine seconds here. */
const asRoot = (): ReturnType<typeof ktrail> => (checked ??= ktrail(['check', '--kernel']))

describe('the kernel', { skip }, () => {
  after(() => rmSync(folder, { recursive: true, force: true }))

  test('check --kernel: names what this kernel lacks and how hooks are attached', { skip: unknown }, async () => {
    const [, without, entry, returns] = expected ?? assert.fail()
    const { code, stdout, stderr } = await asRoot()
    assert.deepEqual([code, lines(stdout, 'missing'), lines(stdout, 'refused')], [0, [], []], stdout + stderr)
    assert.ok(stdout.startsWith(`kernel ${release()}, `))
    assert.deepEqual(
      lines(stdout, 'without')
        .filter((text) => text.includes(' (needs '))
        .map((text) => text.split(' (needs ')[0]),
      without,
    )
    const fine = lines(stdout, 'ok')
    assert.ok(fine.includes(`hooks without a return value: ${entry}`), stdout)
    assert.ok(fine.includes(`hooks with a return value: ${returns}`), stdout)
    const [state, found] = BY_IDENTITY
      ? ['ok', /^policy sudoers-pam: /]
      : ['without', /sudoers-pam.*left out of its bundle$/]
    assert.ok(
      lines(stdout, state).some((text) => found.test(text)),
      stdout,
    )
    assert.match(stderr, /^this kernel can run ktrail: /m)
  })

  test('check --kernel: another user than root gets the same output, with features that only root can see as unknown', async () => {
    const root = await asRoot()
    const other = await asNobody()
    assert.equal(other.code, 0, other.stdout + other.stderr)
    assert.deepEqual(lines(other.stdout, 'without'), lines(root.stdout, 'without'))
    assert.ok(
      lines(other.stdout, 'unknown').some((text) => text.startsWith('sequence locks ')),
      other.stdout,
    )
  })

  test('check --kernel: a policy with a function that this kernel lacks is refused with its position', async () => {
    const file = config(
      'lost',
      policy('lost', [{ ...fileHook([path('Equal', '/x')]), call: 'security_file_permissoin' }]),
    )
    const { code, stdout } = await ktrail(['check', '--kernel', '--config', file])
    assert.equal(code, 78)
    const [refused, ...others] = lines(stdout, 'refused')
    assert.deepEqual(others, [])
    assert.match(
      refused ?? '',
      /lost\.yaml:\d+:\d+: no kernel function "security_file_permissoin".*did you mean security_file_permission\?/,
    )
  })

  test(
    'run: a policy of the library is attached, or left out of its bundle; the log names once each missing feature, and what the agent does without it',
    { skip: unknown },
    async () => {
      const [, names] = expected ?? assert.fail()
      const { stdout } = await asRoot()
      const told = lines(stdout, 'without').flatMap((text) => {
        const [, name, without] = /^(.+?) \(needs [^)]*\): (.*)$/.exec(text) ?? []
        return name === undefined ? [] : [[name, without] as const]
      })
      assert.deepEqual(
        told.map(([name]) => name),
        names,
      )
      await using agent = await TestAgent.start({ paths: [BY_IDENTITY ? 'library:sudoers-pam' : 'library:pci'] })
      if (BY_IDENTITY) {
        const page = await agent.metrics()
        assert.ok(page.sum('ktrail_policy_hooks', { policy: 'sudoers-pam', state: 'loaded' }) > 0)
        assert.equal(page.sum('ktrail_policy_info', { policy: 'sudoers-pam', severity: 'critical' }), 1)
      } else {
        const refused = agent.log().filter(({ msg = '' }) => msg.startsWith('policy refused'))
        assert.ok(refused.some(({ file = '' }) => file.endsWith('/sudoers-pam.yaml')))
      }
      const logged = agent.log().flatMap((line) => ('without' in line ? [line.without] : []))
      // The names, and at debug the ways.
      assert.deepEqual(logged, names.length === 0 ? [] : [names, Object.fromEntries(told)])
    },
  )
})
