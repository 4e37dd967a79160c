/** `ktrail policy` with the API of an agent without a kernel. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { parse, parseAllDocuments } from 'yaml'
import { UsageError } from '../../../../../collector/cli/command.ts'
import { ownFile } from '../../../../../config/base/own.ts'
import { NOTHING_DONE } from '../../../../../collector/kernel/actions/acted.ts'
import { Rig } from '../../api/support/rig.ts'
import { typed } from '../support/terminal.ts'
import type { Written } from '../support/terminal.ts'

const yaml = (name: string): string =>
  `apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: { name: ${name} }\nspec:\n  kprobes:\n    - call: fd_install\n      syscall: false\n`

/** Writes the policy as a file of this name. */
function written(rig: Rig, file: string, text: string): string {
  const path = rig.folder.at(file)
  writeFileSync(path, text)
  return path
}

const policy = (rig: Rig, ...args: string[]): Promise<Written> =>
  typed(['policy', ...args, '--server', `unix://${rig.path}`])

test('policy: added, listed, disabled, enabled and deleted', async () => {
  await using rig = await Rig.start()
  const file = written(rig, 'p.yaml', yaml('secret'))
  assert.deepEqual(await policy(rig, 'add', file), { code: 0, stdout: '', stderr: 'policy secret added\n' })
  const { stdout } = await policy(rig, 'list')
  assert.equal(
    stdout,
    `POLICY  STATE              MODE     HOOKS    HITS
secret  partially_enabled  monitor  1 fexit     7
  this kernel lacks g
`,
  )

  assert.equal(
    (await policy(rig, 'list', '-o', 'wide')).stdout,
    `POLICY  STATE              MODE     HOOKS    HITS   MEMORY  SOURCE
secret  partially_enabled  monitor  1 fexit     7  8.0 KiB  grpc
  this kernel lacks g
`,
  )
  const inJson = JSON.parse((await policy(rig, 'list', '-o', 'json')).stdout)
  assert.deepEqual(parse((await policy(rig, 'list', '-o', 'yaml')).stdout), inJson)
  const long = `long-${'x'.repeat(40)}`
  await policy(rig, 'add', written(rig, 'long.yaml', yaml(long)))
  assert.doesNotMatch((await policy(rig, 'list')).stdout, new RegExp(long))
  assert.match((await policy(rig, 'list', '-o', 'wide')).stdout, new RegExp(`^${long} `, 'm'))
  await policy(rig, 'delete', long)

  assert.equal((await policy(rig, 'disable', 'secret')).stderr, 'policy secret disabled\n')
  const [listed] = JSON.parse((await policy(rig, 'list', '-o', 'json')).stdout) as Array<Record<string, unknown>>
  assert.deepEqual(
    [listed?.['name'], listed?.['state'], listed?.['mode'], listed?.['source'], listed?.['hooks'], listed?.['error']],
    ['secret', 'disabled', 'monitor', 'grpc', [], ''],
  )
  assert.equal((await policy(rig, 'enable', 'secret')).stderr, 'policy secret enabled\n')
  assert.equal((await policy(rig, 'delete', 'secret')).stderr, 'policy secret deleted\n')
  const none = { code: 0, stdout: '', stderr: 'the agent has no policies: add one with ktrail policy add FILE\n' }
  assert.deepEqual(await policy(rig, 'list'), none)
})

test('policy list: actions other than events, in total and by selector', async () => {
  await using rig = await Rig.start()
  rig.kernel.done = [
    {
      hook: 0,
      selector: 1,
      label: 'second',
      posts: 7,
      done: { ...NOTHING_DONE, sigkill: 2, signal: 1, rate_limited: 1500 },
    },
  ]
  await policy(rig, 'add', written(rig, 'p.yaml', yaml('secret')))
  assert.match((await policy(rig, 'list')).stdout, /\n  done: 1,500 rate_limited, 1 signal, 2 sigkill\n/)
  const [listed] = JSON.parse((await policy(rig, 'list', '-o', 'json')).stdout) as Array<Record<string, unknown>>
  const actions = { rate_limited: 1500, signal: 1, sigkill: 2 }
  assert.deepEqual(listed?.['actions'], actions)
  assert.equal(listed?.['kernel_memory_bytes'], 8192)
  assert.deepEqual(listed?.['selectors'], [{ function: 'f', hook: 0, selector: 1, label: 'second', hits: 7, actions }])
})

test('policy add: mistakes as check prints them; other files are added', async () => {
  await using rig = await Rig.start()
  const bad = written(rig, 'bad.yaml', yaml('bad').replace('kprobes', 'kprobs'))
  const good = written(rig, 'good.yaml', yaml('good'))
  const { code, stdout, stderr } = await policy(rig, 'add', bad, good)
  assert.deepEqual([code, stderr], [78, 'policy good added\n'])
  const checked = await typed(['check', bad])
  assert.equal(stdout, checked.stdout)
  assert.match(stdout, /bad\.yaml:\d+:\d+: .*kprobs/)
  const again = await policy(rig, 'add', good)
  assert.equal(again.code, 78)
  assert.match(again.stdout, /good\.yaml: policy "good" of grpc exists: remove or replace it/)
  const missing = await policy(rig, 'add', rig.folder.at('none.yaml'))
  assert.equal(missing.code, 78)
  assert.match(missing.stdout, /none\.yaml: /)
})

test('policy: the domain is found automatically, and required if two have the policy', async () => {
  await using rig = await Rig.start()
  const file = written(rig, 'p.yaml', yaml('secret'))
  await policy(rig, 'add', file, '--domain', 'one')
  assert.equal((await policy(rig, 'disable', 'secret')).code, 0)
  await policy(rig, 'add', file)
  await assert.rejects(policy(rig, 'delete', 'secret'), (error) => {
    assert.ok(error instanceof UsageError)
    assert.equal(error.message, '2 policies are named "secret": expected one of --domain one; --domain grpc')
    return true
  })
  assert.equal((await policy(rig, 'delete', 'secret', '--domain', 'one')).code, 0)
  assert.equal((await policy(rig, 'list', '--domain', 'one')).stdout, '')
})

test('policy: a wrong name gets the nearest one as a hint; wrong usage and a missing agent are explained', async () => {
  await using rig = await Rig.start()
  await policy(rig, 'add', written(rig, 'p.yaml', yaml('secret')))
  const rows: ReadonlyArray<readonly [args: string[], message: RegExp]> = [
    [['delete', 'secert'], /^the agent has no policy "secert" \(did you mean "secret"\?\)$/],
    [
      ['enable', 'x', '--domain', 'd'],
      /^the agent has no policy "x" in the domain "d"; ktrail policy list shows them$/,
    ],
    [['disable'], /^expected the name of one policy$/],
    [['disable', 'a', 'b'], /^expected the name of one policy$/],
    [['add'], /^policy add requires a file, a folder or library:NAME$/],
    [['show'], /^expected one name, of a policy or library:NAME$/],
    [['show', 'a', 'b'], /^expected one name, of a policy or library:NAME$/],
    [['show', 'secert'], /^the agent has no policy "secert" \(did you mean "secret"\?\)$/],
    [['show', 'ssh-keys'], /^the agent has no policy "ssh-keys" \(did you mean "library:ssh-keys"\?\)$/],
    [['show', 'library:pic'], /^library:pic: the library has no policy or bundle "pic" \(did you mean "pci"\?\)$/],
    [['list', 'x'], /^policy list takes no name, got "x"$/],
  ]
  for (const [args, message] of rows) {
    await assert.rejects(policy(rig, ...args), (error) => error instanceof UsageError && message.test(error.message))
  }
  await assert.rejects(typed(['policy', 'list', '--server', `unix://${rig.folder.at('no.sock')}`]), {
    code: 'UNAVAILABLE',
  })
})

test('policy delete: the agent keeps policies of files', async () => {
  await using rig = await Rig.start()
  await policy(rig, 'add', written(rig, 'p.yaml', yaml('secret')))
  const [known] = rig.policies.list()
  assert.ok(known !== undefined)
  await rig.policies.add({ source: '/etc/p.yaml', namespace: '', name: 'of-file' }, known.policy)
  await assert.rejects(
    policy(rig, 'delete', 'of-file'),
    /comes from the file \/etc\/p.yaml: remove the file, or disable/,
  )
  assert.equal((await policy(rig, 'disable', 'of-file')).code, 0)
})

test('policy list: hostile names and errors stay on their lines', async () => {
  await using rig = await Rig.start()
  await policy(rig, 'add', written(rig, 'p.yaml', yaml('secret')))
  const [known] = rig.policies.list()
  assert.ok(known !== undefined)
  const name = 'x'.repeat(90)
  await rig.policies.add({ source: 'grpc', namespace: '', name }, known.policy)
  // Only of two with one name, the list shows the sources.
  assert.doesNotMatch((await policy(rig, 'list')).stdout, /from/)
  await rig.policies.add({ source: '/etc/\u001b[2J\n.yaml', namespace: '', name }, known.policy)
  const { stdout } = await policy(rig, 'list')
  assert.ok(!stdout.includes('\u001b'))
  assert.match(stdout, /^ {2}from \/etc\/\\x1b\[2J\\n\.yaml$/m)
  for (const line of stdout.split('\n')) assert.ok(line.length <= 80, line)
})

test('policy add: a name of the library; a wrong one is a mistake, and the others are added', async () => {
  await using rig = await Rig.start()
  const { code, stdout, stderr } = await policy(rig, 'add', 'library:ssh-kyes', 'ssh-keys', 'library:ssh-keys')
  assert.deepEqual([code, stderr], [78, 'policy ssh-keys added\n'])
  assert.equal(
    stdout,
    'library:ssh-kyes: the library has no policy or bundle "ssh-kyes" (did you mean "ssh-keys"?)\n' +
      'ssh-keys: no such file (did you mean "library:ssh-keys"?)\n',
  )
  assert.deepEqual(
    rig.policies.list().map(({ id }) => id),
    [{ source: 'grpc', namespace: '', name: 'ssh-keys' }],
  )
})

test('policy add: a folder with too many policies is a mistake with the reason', async () => {
  await using rig = await Rig.start()
  for (let i = 0; i <= 1_000; i++) written(rig, `${i}.yaml`, '')
  const { code, stdout } = await policy(rig, 'add', rig.folder.path)
  assert.equal(code, 78)
  assert.match(stdout, /: cannot read: it has more than 1000 policies: split them into several folders\n$/)
})

test('policy show: a policy or a bundle of the library as files, or the state of a running policy', async () => {
  await using rig = await Rig.start()
  const text = (name: string): string => readFileSync(ownFile(`config/policies/library/${name}.yaml`), 'utf8')
  assert.deepEqual(await policy(rig, 'show', 'library:ssh-keys'), { code: 0, stdout: text('ssh-keys'), stderr: '' })
  const bundle = (await policy(rig, 'show', 'library:pci')).stdout
  const [names, json] = [parseAllDocuments(bundle), (await policy(rig, 'show', 'library:pci', '-o', 'json')).stdout]
  assert.ok(names.length >= 2 && bundle.includes(text('sudoers-pam')))
  assert.deepEqual(
    JSON.parse(json),
    names.map((document): unknown => document.toJS()),
  )

  await policy(rig, 'add', written(rig, 'p.yaml', yaml('secret')))
  const shown = JSON.parse((await policy(rig, 'show', 'secret', '-o', 'json')).stdout) as object
  const [listed] = JSON.parse((await policy(rig, 'list', '-o', 'json')).stdout) as unknown[]
  assert.deepEqual(shown, listed)
  const { stdout } = await policy(rig, 'show', 'secret')
  assert.match(stdout, /^name: secret$/m)
  assert.deepEqual(parse(stdout), shown)
})

test('policy library: fits 80 columns; searched by name, title, bundle, severity and technique, without an agent', async () => {
  const all = await typed(['policy', 'library'])
  assert.deepEqual([all.code, all.stderr], [0, ''])
  assert.match(all.stdout, /^NAME +SEVERITY +BUNDLES\n/)
  assert.match(all.stdout, /^sudoers-pam +critical +default host pci cis\n {2}Changes to sudoers and PAM$/m)
  for (const line of all.stdout.split('\n')) assert.ok(line.length <= 80, line)
  const found = async (search: string): Promise<Array<Record<string, unknown>>> =>
    JSON.parse((await typed(['policy', 'library', search, '-o', 'json'])).stdout) as Array<Record<string, unknown>>
  for (const search of ['SUDOERS-P', 'sudoers and pam', 'pci', 'critical', 't1548.003']) {
    const one = (await found(search)).find(({ name }) => name === 'sudoers-pam')
    assert.ok(one !== undefined, search)
    assert.deepEqual([one['severity'], one['mitre']], ['critical', ['T1548.003', 'T1556.003']])
  }
  assert.ok(!(await found('critical')).some(({ name }) => name === 'ssh-keys'))
  const none = 'no policy of the library matches "zzz"; ktrail policy library lists all\n'
  assert.deepEqual(await typed(['policy', 'library', 'zzz']), { code: 1, stdout: '', stderr: none })
  await assert.rejects(typed(['policy', 'library', 'a', 'b']), /expected at most one word to search for, got "b", too/)
})
