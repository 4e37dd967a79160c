/** The policies shipped by Tetragon that load: all at once on a kernel, with a call for each one that a program can trigger. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { CORRECTED, LOADING, policyOf, textOf } from '../../support/policies/shipped.ts'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { makeProgram } from '../../support/programs.ts'

/** Policies that are refused, because this kernel lacks something or because there is no cluster. */
const REFUSED: Readonly<Record<string, RegExp>> = {
  // Since 6.9 the function has another first argument.
  'tracingpolicy/cves/cve-2023-2640-overlayfs-ubuntu':
    /argument 0 of security_inode_copy_up_xattr: type "string" does not fit/,
  'tracingpolicy/host-changes/monitor-signed-kernel-modules': /no kernel function "find_module_sections"/,
  'tracingpolicy/dev_queue_xmit': /no kernel function "dev_queue_xmit"/,
  'tracingpolicy/hardlink-override': /Override on system calls requires a kernel with/,
  'tracingpolicy/symlink-override': /Override on system calls requires a kernel with/,
  'tracingpolicy/killer': /Override on system calls requires a kernel with/,
  'tracingpolicy/modules-nohost': /kubernetes/,
}
/** Policies on hundreds of functions or all system calls: kinds.test.ts has such hooks. */
const TOO_MUCH = ['tracingpolicy/list-syscalls-generated', 'tracingpolicy/raw_syscalls']
/** They match no program of this test, or this kernel does not call the function. */
const QUIET = new Set(
  [
    'cves/cve-2024-3094-xz-ssh', // /usr/sbin/sshd
    'datagram', // only with a BPF program on the cgroup
    'datagram-with-selectors',
    'security-socket-connect-block-others', // /usr/bin/curl
    'tcp-connect-only-local-addrs',
    'fd_install_ns', // numbers of namespaces that do not exist
  ].map((name) => `tracingpolicy/${name}`),
)

const arch = process.arch === 'x64' ? false : 'the policies name system calls of x86-64'
// 50 policies: four minutes in the emulator.
const long = process.env['KTRAIL_LONG'] === '1' ? false : 'takes minutes; KTRAIL_LONG=1 runs it'
const skip = cannotRun() || arch || long
if (skip !== false) console.log(`shipped policies: skipped: ${skip}`)

test('shipped policies: those that load are attached, and report calls', { skip }, async () => {
  const folder = freshFolder('shipped')
  const file = join(folder, '.bashrc')
  writeFileSync(file, 'x')
  const [calls, nop] = [join(folder, 'calls'), join(folder, 'tester-progs/nop')]
  mkdirSync(join(folder, 'tester-progs'))
  copyFileSync('/bin/true', nop)
  makeProgram('e2e/shipped', calls)
  execFileSync('ip', ['link', 'set', 'lo', 'up'])
  execFileSync('ip', ['address', 'replace', '192.0.2.1/32', 'dev', 'lo'])

  await using agent = await TestAgent.start()
  const rows = [...LOADING, ...CORRECTED.map(({ row }) => row)]
  const policies = rows.filter(([path]) => !TOO_MUCH.includes(path)).map(policyOf)
  const fileOf = (path: string): string => join(agent.policies, `${path.replaceAll('/', '-')}.yaml`)
  for (const policy of policies) {
    writeFileSync(join(folder, 'new'), textOf(policy))
    renameSync(join(folder, 'new'), fileOf(policy.path))
  }
  const outcomes = (): Map<string, string> => {
    const found = new Map<string, string>()
    for (const { file: about, msg = '' } of agent.log())
      if (about !== undefined && /^policy (added|refused)/.test(msg)) found.set(about, msg)
    return found
  }
  const from = performance.now()
  await agent.until('each policy to be added or refused', () => outcomes().size === policies.length, 420_000)
  console.log(`${policies.length} policies took ${Math.round((performance.now() - from) / 1000)} s`)
  const outcome = outcomes()
  for (const { path } of policies) {
    const wanted = REFUSED[path] ?? /^policy added/
    assert.match(outcome.get(fileOf(path)) ?? '', wanted, path)
  }

  const lines = await agent.during(() => {
    spawnSync(calls, [file])
    spawnSync('/usr/bin/bash', [
      '-c',
      `${nop}; mkdir ${folder}/made; read -r line <${file}; cat /etc/passwd >/dev/null`,
    ])
    spawnSync('/usr/bin/cat', ['/etc/passwd'])
    spawnSync('/usr/bin/true')
  })
  const seen = new Set(
    lines.map((line) => (line.process_kprobe ?? line.process_lsm ?? line.process_tracepoint)?.policy_name),
  )
  const nameOf = (path: string): string => JSON.parse(textOf({ path, spec: {} })).metadata.name
  const silent = policies
    .map(({ path }) => path)
    .filter((path) => REFUSED[path] === undefined && !seen.has(nameOf(path)))
  assert.deepEqual(silent, [...QUIET].toSorted())
})
