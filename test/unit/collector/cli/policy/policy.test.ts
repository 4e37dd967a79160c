/** `ktrail policy` with the API of an agent without a kernel. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { UsageError } from '../../../../../collector/cli/command.ts'
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
  from grpc
  this kernel lacks g
`,
  )

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
  assert.match((await policy(rig, 'list')).stdout, /\n  from grpc\n  done: 1,500 rate_limited, 1 signal, 2 sigkill\n/)
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
    [['add'], /^policy add requires at least one file or folder$/],
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
  await rig.policies.add({ source: '/etc/\u001b[2J\n.yaml', namespace: '', name: 'x'.repeat(90) }, known.policy)
  const { stdout } = await policy(rig, 'list')
  assert.ok(!stdout.includes('\u001b'))
  assert.match(stdout, /^ {2}from \/etc\/\\x1b\[2J\\n\.yaml$/m)
  for (const line of stdout.split('\n')) assert.ok(line.length <= 80, line)
})
