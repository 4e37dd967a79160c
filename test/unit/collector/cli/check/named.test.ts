/** `ktrail check CONFIG`: the policies and files that a config names. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mkdirSync, writeFileSync } from 'node:fs'
import { ktrail } from '../../../../../collector/cli/ktrail.ts'
import { Folder } from '../../../exporters/support/folder.ts'

const policy = (name: string, operator = 'Prefix'): string => `apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: ${name}}
spec: {kprobes: [{call: security_file_permission, syscall: false, args: [{index: 0, type: file}], selectors: [{matchArgs: [{index: 0, operator: ${operator}, values: [/w/]}]}]}]}
`

async function check(folder: Folder, ...args: string[]): Promise<{ code: number; lines: string[]; err: string[] }> {
  const err: string[] = []
  let out = ''
  const code = await ktrail(['check', ...args], {
    env: {},
    print: (text) => Promise.resolve(((out += String(text)), true)),
    printError: (line) => void err.push(line),
    nowMs: () => 0,
  })
  const lines = out.split('\n').filter((line) => line !== '' && !line.includes('(kernel of this machine'))
  return { code, lines: lines.map((line) => line.replaceAll(`${folder.path}/`, '')), err }
}

interface Row {
  readonly name: string
  readonly policies: Readonly<Record<string, string>>
  readonly filter?: string
  readonly more?: string
  readonly want: readonly string[]
}

const UNKNOWN = 'expected the name of a policy of this config, got'

const ROWS: readonly Row[] = [
  {
    name: 'mistakes of a policy, with their place',
    policies: { 'p.yaml': policy('p', 'Prefxi') },
    filter: 'policies: [q]',
    want: [
      'p/p.yaml:4:145: spec.kprobes[0].selectors[0].matchArgs[0].operator: unknown operator "Prefxi" (did you mean "Prefix"?)',
    ],
  },
  {
    name: 'two policies with one name',
    policies: { 'a.yaml': policy('p'), 'b.yaml': policy('p') },
    want: ['p/b.yaml: policy "p" is already in p/a.yaml: give it another name'],
  },
  {
    name: 'names in filters that no policy has',
    policies: { 'p.yaml': policy('secrets') },
    filter: 'policies: [secrets, "sec*", secret, "x*"], deny: [{policy_names: [other, secrets]}]',
    want: [
      `k.yaml:2:68: warning: exporters.s.filter.policies[2]: ${UNKNOWN} "secret" (did you mean "secrets"?)`,
      `k.yaml:2:76: warning: exporters.s.filter.policies[3]: ${UNKNOWN} "x*"; correct it, or add the policy with ktrail policy add`,
      `k.yaml:2:106: warning: exporters.s.filter.deny[0].policy_names[0]: ${UNKNOWN} "other"; correct it, or add the policy with ktrail policy add`,
    ],
  },
  {
    name: 'tags and a severity in filters that no hook has',
    policies: { 'p.yaml': policy('p').replace('call:', 'tags: [severity.low, pci], call:') },
    filter: 'tags: [pci, "sev*", pic, "x*"], severity: ">= high"',
    want: [
      'k.yaml:2:60: warning: exporters.s.filter.tags[2]: expected a tag of the policies of this config, got "pic" (did you mean "pci"?)',
      'k.yaml:2:65: warning: exporters.s.filter.tags[3]: expected a tag of the policies of this config, got "x*"; correct it, or add the policy with ktrail policy add',
      'k.yaml:2:82: warning: exporters.s.filter.severity: expected a severity of the policies of this config, got ">= high"; correct it, or add the policy with ktrail policy add',
    ],
  },
  {
    name: 'no severity, if exec events or a hook pass',
    policies: { 'p.yaml': policy('p').replace('call:', 'tags: [severity.low], call:') },
    filter: 'severity: "< critical"',
    want: [],
  },
  {
    name: 'no name, if policies also come from Kubernetes',
    policies: { 'p.yaml': policy('secrets') },
    filter: 'policies: [other]',
    more: 'kubernetes: {policies: true}\n',
    want: [],
  },
  {
    name: 'a folder with too many policies',
    policies: Object.fromEntries(Array.from({ length: 1_001 }, (_, i) => [`${i}.yaml`, ''])),
    want: [
      'k.yaml:1:12: policies[0]: cannot read "p": it has more than 1000 policies: split them into several folders',
    ],
  },
]

for (const { name, policies, filter, more = '', want } of ROWS) {
  test(`check of a config reports ${name}`, async () => {
    using folder = new Folder()
    mkdirSync(folder.at('p'))
    for (const [file, text] of Object.entries(policies)) writeFileSync(folder.at(`p/${file}`), text)
    const filters = filter === undefined ? '' : `, filter: {${filter}}`
    const config = `policies: [${folder.at('p')}]\nexporters: {s: {type: stdout${filters}}}\n${more}`
    writeFileSync(folder.at('k.yaml'), config)
    const { code, lines } = await check(folder, folder.at('k.yaml'))
    assert.deepEqual(lines, want)
    assert.equal(code, want.some((line) => !line.includes(' warning: ')) ? 78 : 0)
  })
}

test('check reports a policy once, if it is an argument and in the config', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('p.yaml'), policy('p', 'Prefxi'))
  writeFileSync(folder.at('k.yaml'), `policies: [${folder.at('p.yaml')}]\nexporters: {s: {type: stdout}}\n`)
  const { lines, err } = await check(folder, folder.at('k.yaml'), folder.at('p.yaml'))
  assert.deepEqual([lines.length, err], [1, ['1 of 2 files with mistakes']])
})

test('check needs no long time for a pattern with many stars', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('p.yaml'), policy('a'.repeat(80)))
  const filter = `{policies: ["${'*a'.repeat(5)}*b"]}`
  writeFileSync(
    folder.at('k.yaml'),
    `policies: [${folder.at('p.yaml')}]\nexporters: {s: {type: stdout, filter: ${filter}}}\n`,
  )
  const before = process.threadCpuUsage().user
  const { lines } = await check(folder, folder.at('k.yaml'))
  const ms = (process.threadCpuUsage().user - before) / 1000
  assert.match(lines.join(), /expected the name of a policy of this config, got "\*a/)
  assert.ok(ms < 1000, `${ms} ms`)
})
