/** Policies of a config against a kernel's functions, without that kernel. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { policyFindings } from '../../../../../collector/cli/check/kernel.ts'
import { perfEventsFinding, readPerfEvents } from '../../../../../collector/cli/check/rights.ts'
import type { PerfEvents } from '../../../../../collector/cli/check/rights.ts'
import { CollectorError } from '../../../../../collector/errors.ts'
import type { KernelFacts } from '../../../../../collector/plan/facts.ts'
import type { Symbols } from '../../../../../collector/plan/plan.ts'
import type { KernelFunction } from '../../../../../native/types.ts'
import { kernel } from '../../support/facts.ts'

const folder = mkdtempSync(join(tmpdir(), 'ktrail-check-kernel-'))
after(() => rmSync(folder, { recursive: true }))

const OPENED: KernelFunction = { returns: 'int', returnsBase: 'int', params: [] }
const symbols: Symbols = {
  functionType: (name) => (name === 'fd_install' ? OPENED : undefined),
  functionNames: () => ['fd_install'],
  tracepoints: { format: () => undefined, names: () => [] },
  generated: () => [],
  loadOf: () => '',
  memberOf: () => undefined,
}

function written(name: string, ...kprobes: object[]): string {
  const document = { apiVersion: 'cilium.io/v1alpha1', kind: 'TracingPolicy', metadata: { name }, spec: { kprobes } }
  const file = join(folder, `${name}.yaml`)
  writeFileSync(file, JSON.stringify(document))
  return file
}

const call = (name: string, optional = false): object => ({
  call: name,
  syscall: false,
  ...(optional ? { ignore: { callNotFound: true } } : {}),
})

const permitted: PerfEvents = { state: 'permitted', holder: 'ktrail.service' }

const foundWith = async (rights: PerfEvents, facts: KernelFacts, ...policies: string[]): Promise<string[]> =>
  (await policyFindings({ policies, attach: { mode: 'auto' } }, facts, () => Promise.resolve(symbols), rights)).map(
    ({ state, text }) => `${state} ${text.replaceAll(`${folder}/`, '')}`,
  )
const found = (...policies: string[]): Promise<string[]> => foundWith(permitted, kernel(5, 10), ...policies)

test('check --kernel: a policy with existing functions is fine, with its way of attaching', async () => {
  const fine = written('fine', call('fd_install'))
  // A policy that two places have is one.
  assert.deepEqual(await found(fine, fine), ['ok policy fine: hooks 1 function (kprobe)'])
})

test('check --kernel: a policy that this kernel cannot run is left out of its bundle, but refused if it is named', async () => {
  const refuse = (): Promise<Symbols> => Promise.reject(new CollectorError('POLICY_REFUSED', 'requires Linux 5.17'))
  const refused = async (...policies: string[]): Promise<Set<string>> => {
    const findings = await policyFindings({ policies, attach: { mode: 'auto' } }, kernel(5, 10), refuse, permitted)
    return new Set(findings.map(({ state, text }) => `${state} ${text}`))
  }
  const leftOut = 'without requires Linux 5.17; the policy is left out of its bundle'
  assert.deepEqual(await refused('library:pci'), new Set([leftOut]))
  assert.deepEqual(await refused('library:sudoers-pam'), new Set(['refused requires Linux 5.17']))
  assert.ok((await refused('library:sudoers-pam', 'library:pci')).has('refused requires Linux 5.17'))
})

test('check --kernel: a kernel without bpf_loop refuses SameFile, UnderDir and aggregate, with their place', async () => {
  const refused = async (keys: object): Promise<string> => {
    const file = written('old', { ...call('fd_install'), args: [{ index: 0, type: 'file' }], ...keys })
    writeFileSync(file, readFileSync(file, 'utf8').replace('cilium.io', 'ktrail.dev'))
    return (await found(file)).join('\n')
  }
  for (const operator of ['SameFile', 'UnderDir']) {
    const text = await refused({ selectors: [{ matchArgs: [{ index: 0, operator, values: ['/etc'] }] }] })
    assert.match(
      text,
      /^refused old\.yaml:1:\d+: \w+ requires Linux 5\.17, for bpf_loop: match the path on this kernel, or annotate the policy with ktrail\.dev\/without-bpf-loop: by-name$/,
    )
  }
  assert.match(
    await refused({ aggregate: { window: '1s' } }),
    /^refused old\.yaml:1:\d+: aggregate requires Linux 5\.17/,
  )
})

test('check --kernel: an optional call that is missing is skipped, another one refuses the policy', async () => {
  const [fine, skipped] = await found(written('optional', call('fd_install'), call('fd_instal', true)))
  assert.equal(fine, 'ok policy optional: hooks 1 function (kprobe)')
  assert.match(
    skipped ?? '',
    /^without optional\.yaml:1:\d+: no kernel function "fd_instal".*fd_install\?; the call is skipped$/,
  )
  const refused = await found(written('required', call('fd_install'), call('fd_instal')))
  assert.equal(refused.length, 1)
  assert.match(refused[0] ?? '', /^refused required\.yaml:1:\d+: no kernel function "fd_instal"/)
})

test('check --kernel: a group without any function in this kernel is missing, one with another function is not', async () => {
  const file = written('groups', call('fd_install'), call('fd_instal', true), call('fd_insta', true))
  const document = JSON.parse(readFileSync(file, 'utf8'))
  const grouped = async (calls: string): Promise<string[]> => {
    const metadata = { name: 'groups', annotations: { 'ktrail.one-of/open': calls } }
    writeFileSync(file, JSON.stringify({ ...document, metadata }))
    return (await found(file)).filter((line) => line.startsWith('missing'))
  }
  assert.deepEqual(await grouped('fd_instal, fd_insta'), [
    'missing policy groups: this kernel has none of fd_instal, fd_insta, so the policy does not see open',
  ])
  writeFileSync(
    file,
    JSON.stringify(document).replace('"call":"fd_install"', '"call":"fd_install","ignore":{"callNotFound":true}'),
  )
  Object.assign(document, JSON.parse(readFileSync(file, 'utf8')))
  assert.deepEqual(await grouped('fd_instal, fd_install'), [])
})

test('check --kernel: a missing or broken file is refused, and the others are still checked', async () => {
  const broken = join(folder, 'broken.yaml')
  writeFileSync(broken, 'kind: TracingPolicy\nspec: 7\n')
  const lines = await found(join(folder, 'none.yaml'), broken, written('fine', call('fd_install')))
  assert.match(lines[0] ?? '', /^refused none\.yaml: cannot read: /)
  assert.ok(lines.some((line) => line.startsWith('refused broken.yaml:')))
  assert.equal(lines.at(-1), 'ok policy fine: hooks 1 function (kprobe)')
})

const UNIT = 'CapabilityBoundingSet=cap_sys_ptrace cap_syslog cap_perfmon cap_bpf'
const units: ReadonlyArray<readonly [what: string, shown: string, withoutAdmin: boolean, want: PerfEvents]> = [
  ['without CAP_SYS_ADMIN', `LoadState=loaded\n${UNIT}\n`, false, { state: 'refused', holder: 'ktrail.service' }],
  ['with CAP_SYS_ADMIN', `LoadState=loaded\n${UNIT} cap_sys_admin\n`, false, permitted],
  ['without it where CAP_PERFMON is enough', `LoadState=loaded\n${UNIT}\n`, true, permitted],
  ['that is not installed', 'LoadState=not-found\n', true, { state: 'permitted', holder: 'this process' }],
]
for (const [what, shown, withoutAdmin, want] of units) {
  test(`check --kernel: perf events are judged by the rights of a unit ${what}`, async () => {
    const unit = (): Promise<string> => Promise.resolve(shown)
    assert.deepEqual(await readPerfEvents(true, () => withoutAdmin, unit), want)
    assert.equal((await readPerfEvents(false, () => withoutAdmin, unit)).state, 'unknown')
  })
}

test('check --kernel: without systemd the rights are those of this process', async () => {
  const none = (): Promise<string> => Promise.reject(new Error('spawn systemctl ENOENT'))
  assert.equal((await readPerfEvents(true, () => false, none)).holder, 'this process')
})

const COMMANDS =
  /`systemctl edit ktrail` .* CapabilityBoundingSet=CAP_SYS_ADMIN, or run `sysctl kernel\.perf_event_paranoid=2`$/

test('check --kernel: refused perf events are missing where the agent needs them, and the commands that help are named', () => {
  const refused: PerfEvents = { state: 'refused', holder: 'ktrail.service' }
  const needed = perfEventsFinding(refused, true)
  assert.equal(needed.state, 'missing')
  assert.match(needed.text, /ktrail\.service does not have/)
  assert.match(needed.text, COMMANDS)
  const optional = perfEventsFinding(refused, false)
  assert.equal(optional.state, 'without')
  assert.match(optional.text, /policies with tracepoints/)
  assert.match(optional.text, COMMANDS)
  assert.equal(perfEventsFinding(permitted, true).state, 'ok')
})

test('check --kernel: a policy whose hooks are refused perf events is missing, another one is fine', async () => {
  const refused: PerfEvents = { state: 'refused', holder: 'ktrail.service' }
  const file = written('events', call('fd_install'))
  const [line = '', ...rest] = await foundWith(refused, kernel(5, 10), file)
  assert.match(line, /^missing policy events: its hooks are perf events: /)
  assert.match(line, COMMANDS)
  assert.deepEqual(rest, [])
  assert.deepEqual(await foundWith(refused, kernel(6, 12), file), ['ok policy events: hooks 1 function (kprobe.multi)'])
})
