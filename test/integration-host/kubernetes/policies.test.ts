/** The definitions in deploy/crds on a real API server: the objects that it accepts, explains and refuses. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import { parseAllDocuments } from 'yaml'
import { typed } from '../../unit/collector/cli/support/terminal.ts'
import { files } from '../../unit/support/pages.ts'
import { ApiServer, established, kubernetesPrograms } from '../../support/kubernetes/server.ts'

const ROOT = path.join(import.meta.dirname, '../../..')
const programs = await kubernetesPrograms()
const skip = 'missing' in programs ? programs.missing : false
const server = 'folder' in programs ? await ApiServer.start(programs.folder) : undefined
after(async () => server?.[Symbol.asyncDispose]())

function running(): ApiServer {
  assert.ok(server)
  return server
}

const policy = (spec: object, apiVersion = 'cilium.io/v1alpha1'): string =>
  JSON.stringify({ apiVersion, kind: 'TracingPolicy', metadata: { name: 'p' }, spec })
const own = (spec: object): string => policy(spec, 'ktrail.dev/v1alpha1')
const hook = (filter: object, rest: object = {}): object => ({
  kprobes: [
    {
      call: 'security_file_open',
      syscall: false,
      args: [{ index: 0, type: 'file' }],
      selectors: [{ matchArgs: [{ index: 0, operator: 'Equal', values: ['/etc/passwd'], ...filter }] }],
      ...rest,
    },
  ],
})

test('definitions: the API server accepts them', { skip }, async () => {
  const { code, stderr } = await running().kubectl(['apply', '--server-side', '-f', path.join(ROOT, 'deploy/crds')])
  assert.equal(code, 0, stderr)
  await established(running())
  // The API server reports a schema that it left out as a condition.
  const { stdout } = await running().kubectl(['get', 'crd', '-o', 'jsonpath={.items[*].status.conditions[*].type}'])
  assert.deepEqual(stdout.split(' ').toSorted(), [
    ...Array<string>(4).fill('Established'),
    ...Array<string>(4).fill('NamesAccepted'),
  ])
})

test('definitions: the shipped policies are accepted unchanged', { skip }, async () => {
  for (const file of files(['config/policies/**/*.yaml', 'deploy/demo/policies/*.yaml'])) {
    const text = readFileSync(path.join(ROOT, file), 'utf8')
    const { code, stderr } = await running().kubectl(['apply', '--dry-run=server', '-f', '-'], text)
    assert.equal(code, 0, `${file}: ${stderr}`)
  }
})

test('library: the bundle default is applied, listed and deleted as objects', { skip }, async () => {
  const { stdout: bundle } = await typed(['policy', 'show', 'library:default', '-o', 'yaml'])
  const wanted = parseAllDocuments(bundle).map((document) => String(document.getIn(['metadata', 'name'])))
  assert.ok(wanted.length > 30)
  const listed = async (): Promise<string[]> => {
    const { stdout } = await running().kubectl(['get', 'tracingpolicies.ktrail.dev', '-o', 'name'])
    return stdout.split('\n').flatMap((line) => (line === '' ? [] : [line.replace(/^.*\//, '')]))
  }
  for (const [verb, left] of [
    ['apply', wanted],
    ['delete', []],
  ] as const) {
    const { code, stderr } = await running().kubectl([verb, '-f', '-'], bundle)
    assert.deepEqual([code, stderr], [0, ''])
    assert.deepEqual(await listed(), left.toSorted())
  }
})

test('definitions: a mistake is refused with a sentence that names the key', { skip }, async () => {
  const rows = [
    {
      name: 'operator',
      document: policy(hook({ operator: 'Equals' })),
      want: /matchArgs\[0\]\.operator: Unsupported value: "Equals": supported values: "Equal", /,
    },
    {
      name: 'type',
      document: policy(hook({}, { args: [{ index: 0, type: 'inode' }] })),
      want: /args\[0\]\.type: Unsupported value: "inode": supported values: .*"file"/,
    },
    {
      name: 'unknown key',
      document: policy(hook({}, { function: 'x' })),
      want: /unknown field "spec\.kprobes\[0\]\.function"/,
    },
    {
      name: 'no call',
      document: policy({ kprobes: [{ syscall: false }] }),
      want: /spec\.kprobes\[0\]\.call: Required value/,
    },
    {
      name: 'index',
      document: policy(hook({ index: 128 })),
      want: /index: Invalid value: 128: .*less than or equal to 127/,
    },
    {
      name: 'number without quotes',
      document: policy(hook({ values: [4] })),
      want: /values\[0\]: Invalid value: "integer": .* must be of type string/,
    },
    {
      name: "an operator of ktrail's in a policy of Tetragon's",
      document: policy(hook({ operator: 'UnderDir' })),
      want: /matchArgs\[0\]\.operator: Unsupported value: "UnderDir": supported values: "Equal", /,
    },
    {
      name: "a key of ktrail's in a policy of Tetragon's",
      document: policy(hook({}, { aggregate: { window: '10s' } })),
      want: /unknown field "spec\.kprobes\[0\]\.aggregate"/,
    },
    {
      name: "an operator in a policy of ktrail's own",
      document: own(hook({ operator: 'UnderDirs' })),
      want: /operator: Unsupported value: "UnderDirs": supported values: .*"SameFile", "UnderDir"/,
    },
    {
      name: 'what is counted together',
      document: own(hook({}, { aggregate: { window: '10s', by: ['user'] } })),
      want: /aggregate\.by\[0\]: Unsupported value: "user": supported values: "process", "file", "kind"/,
    },
    {
      name: "Tetragon's",
      document: policy({ ...hook({}), loader: true }),
      want: /Tetragon field "loader" is not supported by this version of ktrail/,
    },
    {
      name: "Tetragon's, without strict validation",
      document: policy(hook({}, { args: [{ index: 0, type: 'file', btfTypeModule: 'x' }] })),
      args: ['--validate=ignore'],
      want: /Tetragon field "btfTypeModule" is not supported by this version of ktrail/,
    },
  ]
  for (const { name, document, want, args = [] } of rows) {
    const { code, stderr } = await running().kubectl(['create', '-f', '-', ...args], document)
    assert.notEqual(code, 0, name)
    assert.match(stderr, want, name)
  }
})

test('definitions: ktrail’s additions to the language arrive unchanged', { skip }, async () => {
  const filter = { operator: 'UnderDir', sticky: true }
  const additions = {
    aggregate: { window: '10s', by: ['process', 'file'] },
    fileDetails: { hash: 'sha256', maxBytes: '1MiB' },
  }
  for (const rest of [additions, { fileDetails: true }]) {
    const document = own(hook(filter, rest))
    const { code, stdout, stderr } = await running().kubectl(
      ['create', '--dry-run=server', '-o', 'json', '-f', '-'],
      document,
    )
    assert.equal(code, 0, stderr)
    const { spec } = JSON.parse(stdout) as { spec: { kprobes: Array<Record<string, unknown>> } }
    const [kprobe = {}] = spec.kprobes
    assert.deepEqual({ ...kprobe, ...rest }, kprobe)
    const kept = { index: 0, operator: 'UnderDir', sticky: true, values: ['/etc/passwd'] }
    assert.deepEqual(kprobe['selectors'], [{ matchArgs: [kept] }])
  }
})

test('definitions: kubectl explains the language, and fills in a default', { skip }, async () => {
  const explained = await running().kubectl(['explain', 'tracingpolicy.spec.kprobes.selectors.matchArgs.operator'])
  assert.match(explained.stdout, /Operator of the comparison/)
  assert.match(explained.stdout, /Equal, NotEqual/)
  const { stdout } = await running().kubectl(['create', '--dry-run=server', '-o', 'json', '-f', '-'], policy(hook({})))
  const { spec } = JSON.parse(stdout) as { spec: { kprobes: Array<{ return: boolean }> } }
  assert.equal(spec.kprobes[0]?.return, false)
})
