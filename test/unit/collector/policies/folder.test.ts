/** Policy files → attached policies. The kernel is a list here; the files are real. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { CollectorError } from '../../../../collector/errors.ts'
import { PolicyFolder } from '../../../../collector/policies/folder.ts'
import { Policies } from '../../../../collector/policies/registry.ts'
import type { Policy } from '../../../../config/policy/policy.ts'
import { Folder } from '../../exporters/support/folder.ts'

function yaml(name: string, call = 'security_file_permission'): string {
  return [
    'apiVersion: cilium.io/v1alpha1',
    'kind: TracingPolicy',
    `metadata: { name: "${name}" }`,
    'spec: { kprobes: [ { call: "' + call + '", syscall: false } ] }',
    '',
  ].join('\n')
}

interface Kernel {
  /** `name call`, in the order of attaching. */
  readonly attached: string[]
  /** Every action, in order. */
  readonly log: string[]
  fail: ((policy: Policy) => Error | undefined) | undefined
}

interface Setup {
  readonly kernel: Kernel
  readonly policies: Policies
  readonly source: PolicyFolder
}

function setup(...paths: string[]): Setup {
  const kernel: Kernel = { attached: [], log: [], fail: undefined }
  const policies = new Policies(async (policy) => {
    const error = kernel.fail?.(policy)
    if (error !== undefined) throw error
    const what = `${policy.name} ${policy.hooks[0]?.call}`
    kernel.attached.push(what)
    kernel.log.push(`+${policy.name}`)
    return {
      hooks: [],
      skipped: [],
      events: () => 0,
      async [Symbol.asyncDispose]() {
        kernel.attached.splice(kernel.attached.indexOf(what), 1)
        kernel.log.push(`-${policy.name}`)
      },
    }
  })
  const source = new PolicyFolder({
    paths,
    policies,
    onChange: (change, file, detail) =>
      kernel.log.push(`${change} ${file.slice(file.lastIndexOf('/') + 1)}${change === 'refused' ? `: ${detail}` : ''}`),
  })
  return { kernel, policies, source }
}

test('policies: a folder’s files by name; other files, hidden ones and folders are ignored', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('b.yaml'), yaml('two'))
  writeFileSync(folder.at('a.yml'), yaml('one'))
  writeFileSync(folder.at('.hidden.yaml'), 'garbage')
  writeFileSync(folder.at('notes.txt'), 'garbage')
  writeFileSync(folder.at('c.yaml~'), 'garbage')
  const { kernel, policies, source } = setup(folder.path)
  await source.start()
  assert.deepEqual(kernel.attached, ['one security_file_permission', 'two security_file_permission'])
  assert.deepEqual(
    policies.list().map(({ id, error }) => [id.source, id.name, error]),
    [
      [folder.at('a.yml'), 'one', undefined],
      [folder.at('b.yaml'), 'two', undefined],
    ],
  )
  assert.deepEqual(source.problems(), [])
  await source.look()
  assert.equal(kernel.log.length, 4)
})

test('policies: a bad file at the start means that none is attached, and every error is reported', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('a.yaml'), yaml('one'))
  writeFileSync(folder.at('b.yaml'), 'kind: 7\n')
  writeFileSync(folder.at('c.yaml'), '\tx')
  const { kernel, source } = setup(folder.path)
  await assert.rejects(source.start(), (error) => {
    assert.ok(error instanceof CollectorError && error.code === 'POLICY_REFUSED')
    assert.match(error.message, /b\.yaml:1:/)
    assert.match(error.message, /c\.yaml:1:/)
    return true
  })
  assert.deepEqual(kernel.attached, [])
})

test('policies: a policy that the kernel refuses at the start means that none is attached', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('a.yaml'), yaml('one'))
  writeFileSync(folder.at('b.yaml'), yaml('two'))
  const { kernel, source } = setup(folder.path)
  kernel.fail = ({ name, file }) =>
    name === 'two' ? new CollectorError('POLICY_REFUSED', `${file}:4:3: no kernel function`) : undefined
  await assert.rejects(source.start(), /b\.yaml:4:3: no kernel function$/)
  assert.deepEqual(kernel.attached, [])
})

test('policies: an internal error at the start is thrown unchanged, and nothing stays attached', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('a.yaml'), yaml('one'))
  writeFileSync(folder.at('b.yaml'), yaml('two'))
  const { kernel, source } = setup(folder.path)
  const fault = new TypeError('x is not a function')
  kernel.fail = ({ name }) => (name === 'two' ? fault : undefined)
  await assert.rejects(source.start(), fault)
  assert.deepEqual(kernel.attached, [])
})

test('policies: a path that is missing at the start is an error', async () => {
  using folder = new Folder()
  for (const place of [folder.at('none'), folder.at('none.yaml')]) {
    const { source } = setup(place)
    await assert.rejects(source.start(), (error) => {
      assert.ok(error instanceof CollectorError)
      assert.ok(error.message.startsWith(`${place}:1:1: cannot read: `), error.message)
      return true
    })
  }
})

test('policies: no paths and an empty folder are no policies', async () => {
  using folder = new Folder()
  await setup().source.start()
  const { kernel, policies, source } = setup(folder.path)
  await source.start()
  assert.deepEqual([kernel.log, policies.list(), source.problems()], [[], [], []])
})

/** A source with the policy `one` in a.yaml, and its log emptied. */
async function started(folder: Folder): Promise<Setup> {
  writeFileSync(folder.at('a.yaml'), yaml('one'))
  const made = setup(folder.path)
  await made.source.start()
  made.kernel.log.length = 0
  return made
}

test('policies: a file that is added, changed and removed takes effect, the new before the old', async () => {
  using folder = new Folder()
  const { kernel, source } = await started(folder)
  writeFileSync(folder.at('b.yaml'), yaml('two'))
  await source.look()
  writeFileSync(folder.at('a.yaml'), yaml('one', 'security_mmap_file'))
  await source.look()
  rmSync(folder.at('b.yaml'))
  await source.look()
  assert.deepEqual(kernel.log, ['+two', 'added b.yaml', '+one', '-one', 'replaced a.yaml', '-two', 'removed b.yaml'])
  assert.deepEqual(kernel.attached, ['one security_mmap_file'])
})

test('policies: a bad change is reported once and changes nothing; the old content is then applied again', async () => {
  using folder = new Folder()
  const { kernel, source } = await started(folder)
  writeFileSync(folder.at('a.yaml'), 'kind: [')
  await source.look()
  await source.look()
  assert.equal(kernel.log.length, 1)
  assert.match(kernel.log[0] ?? '', /^refused a\.yaml: .*a\.yaml:1:/)
  assert.deepEqual(kernel.attached, ['one security_file_permission'])
  assert.match(source.problems()[0]?.[1] ?? '', /a\.yaml:1:/)
  writeFileSync(folder.at('a.yaml'), yaml('one'))
  await source.look()
  assert.deepEqual(kernel.attached, ['one security_file_permission'])
  assert.deepEqual(source.problems(), [])
})

test('policies: a change that the kernel refuses leaves the old one effective', async () => {
  using folder = new Folder()
  const { kernel, source } = await started(folder)
  kernel.fail = ({ file }) => new CollectorError('POLICY_REFUSED', `${file}:4:3: refused`)
  writeFileSync(folder.at('a.yaml'), yaml('one', 'security_nothing'))
  await source.look()
  await source.look()
  assert.equal(kernel.log.length, 1)
  assert.deepEqual(kernel.attached, ['one security_file_permission'])
})

test('policies: a file refused under several names is listed with the last one, and keeps its attached policy', async () => {
  using folder = new Folder()
  const { kernel, policies, source } = await started(folder)
  kernel.fail = ({ file }) => new CollectorError('POLICY_REFUSED', `${file}:4:3: refused`)
  const states = (): string[] => policies.list().map(({ id, state }) => `${id.name} ${state}`)
  for (const name of ['two', 'three']) {
    writeFileSync(folder.at('a.yaml'), yaml(name))
    await source.look()
    assert.deepEqual(states(), ['one enabled', `${name} error`])
  }
  rmSync(folder.at('a.yaml'))
  await source.look()
  assert.deepEqual([states(), kernel.attached], [[], []])
})

test('policies: an internal error while attaching is thrown once, does not affect other policies and is not retried forever', async () => {
  using folder = new Folder()
  const { kernel, source } = await started(folder)
  let tries = 0
  kernel.fail = ({ name }) => {
    if (name !== 'bad') return undefined
    tries++
    return new TypeError('x is not a function')
  }
  writeFileSync(folder.at('b.yaml'), yaml('bad'))
  writeFileSync(folder.at('c.yaml'), yaml('good'))
  await assert.rejects(source.look(), TypeError)
  await source.look()
  await source.look()
  assert.equal(tries, 1)
  assert.deepEqual(kernel.attached, ['one security_file_permission', 'good security_file_permission'])
})

test('policies: a name in use is refused until its file is removed', async () => {
  using folder = new Folder()
  const { kernel, source } = await started(folder)
  writeFileSync(folder.at('b.yaml'), yaml('one', 'security_mmap_file'))
  await source.look()
  await source.look()
  assert.equal(kernel.log.length, 1)
  assert.match(
    kernel.log[0] ?? '',
    /^refused b\.yaml: .*policy "one" is already loaded from .*a\.yaml: give it another name$/,
  )
  rmSync(folder.at('a.yaml'))
  await source.look()
  assert.deepEqual(kernel.attached, ['one security_mmap_file'])
  assert.deepEqual(kernel.log.slice(1), ['+one', '-one', 'replaced b.yaml'])
})

test('policies: a renamed file stays effective throughout', async () => {
  using folder = new Folder()
  const { kernel, policies, source } = await started(folder)
  renameSync(folder.at('a.yaml'), folder.at('z.yaml'))
  await source.look()
  await source.look()
  assert.deepEqual(kernel.log, ['+one', '-one', 'replaced z.yaml'])
  assert.deepEqual(
    policies.list().map(({ id }) => [id.source, id.name]),
    [[folder.at('z.yaml'), 'one']],
  )
})

test('policies: the same file by two paths is one policy', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('a.yaml'), yaml('one'))
  const { kernel, source } = setup(folder.path, folder.at('a.yaml'))
  await source.start()
  assert.equal(kernel.attached.length, 1)
})

test('policies: removing a folder removes its policies, and is reported once', async () => {
  using folder = new Folder()
  mkdirSync(folder.at('p'))
  writeFileSync(folder.at('p/a.yaml'), yaml('one'))
  const { kernel, source } = setup(folder.at('p'))
  await source.start()
  kernel.log.length = 0
  rmSync(folder.at('p'), { recursive: true })
  await source.look()
  await source.look()
  assert.deepEqual(kernel.attached, [])
  assert.deepEqual(
    kernel.log.map((line) => line.split(':')[0]),
    ['refused p', '-one', 'removed a.yaml'],
  )
  mkdirSync(folder.at('p'))
  writeFileSync(folder.at('p/a.yaml'), yaml('one'))
  await source.look()
  assert.deepEqual(kernel.attached, ['one security_file_permission'])
  assert.deepEqual(source.problems(), [])
})

test('policies: removing a single file removes its policy', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('a.yaml'), yaml('one'))
  const { kernel, source } = setup(folder.at('a.yaml'))
  await source.start()
  rmSync(folder.at('a.yaml'))
  await source.look()
  assert.deepEqual(kernel.attached, [])
  await source.look()
  assert.match(source.problems()[0]?.[1] ?? '', /cannot read/)
})

test('policies: a path that cannot be read for now changes nothing', async () => {
  using folder = new Folder()
  mkdirSync(folder.at('p'))
  writeFileSync(folder.at('p/a.yaml'), yaml('one'))
  symlinkSync('p', folder.at('link'))
  const { kernel, policies, source } = setup(folder.at('link'))
  await source.start()
  kernel.log.length = 0
  // A loop of links: neither "no such file" nor "no folder". Works as root too, unlike a change of the mode.
  rmSync(folder.at('link'))
  symlinkSync('link', folder.at('link'))
  await source.look()
  await source.look()
  assert.deepEqual(kernel.attached, ['one security_file_permission'])
  assert.equal(kernel.log.length, 1)
  assert.match(kernel.log[0] ?? '', /^refused link: .*cannot read: ELOOP/)
  rmSync(folder.at('link'))
  symlinkSync('p', folder.at('link'))
  await source.look()
  assert.deepEqual(kernel.attached, ['one security_file_permission'])
  assert.deepEqual([policies.list().length, source.problems()], [1, []])
})

test('policies: a file that cannot be read is refused and its effective policy stays', async (context) => {
  if (process.geteuid?.() === 0) {
    context.skip('root reads everything')
    return
  }
  using folder = new Folder()
  const { kernel, source } = await started(folder)
  chmodSync(folder.at('a.yaml'), 0)
  await source.look()
  assert.deepEqual(kernel.attached, ['one security_file_permission'])
})

test('policies: a file that swapped to a folder of the same name is refused, not a crash', async () => {
  using folder = new Folder()
  const { kernel, source } = await started(folder)
  rmSync(folder.at('a.yaml'))
  mkdirSync(folder.at('a.yaml'))
  await source.look()
  assert.deepEqual(kernel.attached, ['one security_file_permission'])
  assert.match(kernel.log.join(), /^refused a\.yaml: /)
})

test('policies: concurrent checks are one check', async () => {
  using folder = new Folder()
  const { kernel, source } = await started(folder)
  writeFileSync(folder.at('b.yaml'), yaml('two'))
  await Promise.all([source.look(), source.look(), source.look()])
  assert.deepEqual(kernel.log, ['+two', 'added b.yaml'])
})

test('policies: once disposed nothing is attached any more, neither by a later check nor by a running one', async () => {
  using folder = new Folder()
  const { kernel, policies, source } = await started(folder)
  writeFileSync(folder.at('b.yaml'), yaml('two'))
  const underWay = source.look()
  source[Symbol.dispose]()
  const detached = policies[Symbol.asyncDispose]()
  await Promise.all([underWay, detached])
  await source.look()
  assert.deepEqual(kernel.attached, [])
  assert.deepEqual(kernel.log, ['-one'])
  source[Symbol.dispose]()
})

test('policies: a FIFO among the files is reported, the others are read', { timeout: 20_000 }, async () => {
  using folder = new Folder()
  writeFileSync(folder.at('good.yaml'), yaml('good'))
  const { kernel, source } = setup(folder.path)
  await source.start()
  execFileSync('mkfifo', [folder.at('a.yaml')])
  writeFileSync(folder.at('good.yaml'), yaml('good', 'security_mmap_file'))
  await source.look()
  assert.deepEqual(kernel.attached, ['good security_mmap_file'])
  const refused = `refused a.yaml: ${folder.at('a.yaml')}:1:1: cannot read the file: it is a FIFO; expected a regular file`
  assert.deepEqual(kernel.log.slice(2), [refused, '+good', '-good', 'replaced good.yaml'])
})
