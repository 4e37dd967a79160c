/** Policy files → attached policies. The kernel is a list here; the files are real. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { CollectorError } from '../../../../collector/errors.ts'
import { PolicyFolder } from '../../../../collector/policies/folder.ts'
import { Policies } from '../../../../collector/policies/registry.ts'
import { Folder } from '../../exporters/support/folder.ts'
import { FakeKernel } from '../support/policies.ts'

function yaml(name: string, call = 'security_file_permission'): string {
  return [
    'apiVersion: cilium.io/v1alpha1',
    'kind: TracingPolicy',
    `metadata: { name: "${name}" }`,
    'spec: { kprobes: [ { call: "' + call + '", syscall: false } ] }',
    '',
  ].join('\n')
}

interface Setup {
  readonly kernel: FakeKernel
  /** `name call`, in the order of attaching. */
  attached(): string[]
  /** Changes of the kernel and of files, in order. */
  readonly log: string[]
  readonly policies: Policies
  readonly source: PolicyFolder
}

function setup(...paths: string[]): Setup {
  const log: string[] = []
  const kernel = new FakeKernel(log)
  const policies = new Policies(kernel)
  const source = new PolicyFolder({
    paths,
    policies,
    onChange: (change, file, detail) =>
      log.push(`${change} ${file.slice(file.lastIndexOf('/') + 1)}${change === 'refused' ? `: ${detail}` : ''}`),
  })
  const attached = (): string[] => kernel.attached.map(({ policy }) => `${policy.name} ${policy.hooks[0]?.call}`)
  return { kernel, attached, log, policies, source }
}

test('policies: a folder’s files by name; other files, hidden ones and folders are ignored', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('b.yaml'), yaml('two'))
  writeFileSync(folder.at('a.yml'), yaml('one'))
  writeFileSync(folder.at('.hidden.yaml'), 'garbage')
  writeFileSync(folder.at('notes.txt'), 'garbage')
  writeFileSync(folder.at('c.yaml~'), 'garbage')
  const { attached, log, policies, source } = setup(folder.path)
  await source.start()
  assert.deepEqual(attached(), ['one security_file_permission', 'two security_file_permission'])
  assert.deepEqual(
    policies.list().map(({ id, error }) => [id.source, id.name, error]),
    [
      [folder.at('a.yml'), 'one', undefined],
      [folder.at('b.yaml'), 'two', undefined],
    ],
  )
  assert.deepEqual(source.problems(), [])
  assert.deepEqual(log, ['+one +two', 'added a.yml', 'added b.yaml'])
  await source.look()
  assert.equal(log.length, 3)
})

test('policies: a policy that two places have is loaded once', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('a.yaml'), yaml('one'))
  const { kernel, log, source } = setup(
    folder.path,
    folder.at('a.yaml'),
    'library:pci',
    'library:cis',
    'library:sudoers-pam',
  )
  await source.start()
  const names = kernel.attached.map(({ policy }) => policy.name)
  assert.deepEqual(names, [...new Set(names)])
  assert.deepEqual(
    log.filter((line) => line.startsWith('refused')),
    [],
  )
  assert.ok(names.includes('one') && names.includes('sudoers-pam'), names.join())
})

test('policies: a policy that the kernel refuses is left out of its bundle, but not if it is named', async () => {
  const refuse = ({ kernel }: Setup): void => {
    kernel.refuse = ({ name }) =>
      name === 'sudoers-pam' ? new CollectorError('POLICY_REFUSED', 'UnderDir requires Linux 5.17') : undefined
  }
  const bundle = setup('library:pci')
  refuse(bundle)
  await bundle.source.start()
  assert.ok(bundle.kernel.names.includes('shadow-passwd') && !bundle.kernel.names.includes('sudoers-pam'))
  assert.deepEqual(
    bundle.log.filter((line) => line.startsWith('refused')),
    ['refused sudoers-pam.yaml: UnderDir requires Linux 5.17'],
  )
  assert.deepEqual(
    bundle.policies
      .list()
      .map(({ id, error }) => [id.name, error])
      .toSorted(),
    [
      ...bundle.kernel.names.map((name) => [name, undefined]),
      ['sudoers-pam', 'UnderDir requires Linux 5.17'],
    ].toSorted(),
  )
  await assert.rejects(bundle.source.prepare(['library:pci', 'library:sudoers-pam']), /UnderDir requires Linux 5\.17/)
  const { commit } = await bundle.source.prepare(['library:pci', 'library:ssh-keys'])
  await commit()
  assert.ok(bundle.kernel.names.includes('ssh-keys'))
  await (await bundle.source.prepare(['library:ssh-keys'])).commit()
  assert.deepEqual(
    bundle.policies.list().map(({ id }) => id.name),
    ['ssh-keys'],
  )
  for (const places of [
    ['library:sudoers-pam'],
    ['library:sudoers-pam', 'library:pci'],
    ['library:pci', 'library:sudoers-pam'],
  ]) {
    const named = setup(...places)
    refuse(named)
    await assert.rejects(named.source.start(), /UnderDir requires Linux 5\.17/, places.join())
  }
})

test('policies: other places with the same policies of the library keep them attached', async () => {
  const { log, source } = setup('library:sudoers-pam')
  await source.start()
  const { commit } = await source.prepare(['library:sudoers-pam', 'library:ssh-keys'])
  await commit()
  assert.deepEqual(log, ['+sudoers-pam', 'added sudoers-pam.yaml', '+ssh-keys', 'added ssh-keys.yaml'])
})

test('policies: a bad file at the start means that none is attached, and every error is reported', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('a.yaml'), yaml('one'))
  writeFileSync(folder.at('b.yaml'), 'kind: 7\n')
  writeFileSync(folder.at('c.yaml'), '\tx')
  const { attached, source } = setup(folder.path)
  await assert.rejects(source.start(), (error) => {
    assert.ok(error instanceof CollectorError && error.code === 'POLICY_REFUSED')
    assert.match(error.message, /b\.yaml:1:/)
    assert.match(error.message, /c\.yaml:1:/)
    return true
  })
  assert.deepEqual(attached(), [])
})

test('policies: a policy that the kernel refuses at the start means that none is attached', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('a.yaml'), yaml('one'))
  writeFileSync(folder.at('b.yaml'), yaml('two'))
  const { kernel, attached, source } = setup(folder.path)
  kernel.refuse = ({ name, file }) =>
    name === 'two' ? new CollectorError('POLICY_REFUSED', `${file}:4:3: no kernel function`) : undefined
  await assert.rejects(source.start(), /b\.yaml:4:3: no kernel function$/)
  assert.deepEqual(attached(), [])
})

test('policies: an internal error at the start is thrown unchanged, and nothing stays attached', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('a.yaml'), yaml('one'))
  writeFileSync(folder.at('b.yaml'), yaml('two'))
  const { kernel, attached, source } = setup(folder.path)
  const fault = new TypeError('x is not a function')
  kernel.refuse = ({ name }) => (name === 'two' ? fault : undefined)
  await assert.rejects(source.start(), fault)
  assert.deepEqual(attached(), [])
})

test('policies: a path that is missing at the start is an error', async () => {
  using folder = new Folder()
  for (const place of [folder.at('none'), folder.at('none.yaml')]) {
    const { source } = setup(place)
    await assert.rejects(source.start(), (error) => {
      assert.ok(error instanceof CollectorError)
      assert.ok(error.message.startsWith(`${place}: cannot read: `), error.message)
      return true
    })
  }
})

test('policies: no paths and an empty folder are no policies', async () => {
  using folder = new Folder()
  await setup().source.start()
  const { log, policies, source } = setup(folder.path)
  await source.start()
  assert.deepEqual([log, policies.list(), source.problems()], [[], [], []])
})

/** A source with the policy `one` in a.yaml, and its log emptied. */
async function started(folder: Folder): Promise<Setup> {
  writeFileSync(folder.at('a.yaml'), yaml('one'))
  const made = setup(folder.path)
  await made.source.start()
  made.log.length = 0
  return made
}

test('policies: a file that is added, changed and removed takes effect', async () => {
  using folder = new Folder()
  const { attached, log, source } = await started(folder)
  writeFileSync(folder.at('b.yaml'), yaml('two'))
  await source.look()
  writeFileSync(folder.at('a.yaml'), yaml('one', 'security_mmap_file'))
  await source.look()
  rmSync(folder.at('b.yaml'))
  await source.look()
  assert.deepEqual(log, ['+two', 'added b.yaml', '-one +one', 'replaced a.yaml', '-two', 'removed b.yaml'])
  assert.deepEqual(attached(), ['one security_mmap_file'])
})

test('policies: a bad change is reported once and changes nothing; the old content is then applied again', async () => {
  using folder = new Folder()
  const { attached, log, source } = await started(folder)
  writeFileSync(folder.at('a.yaml'), 'kind: [')
  await source.look()
  await source.look()
  assert.equal(log.length, 1)
  assert.match(log[0] ?? '', /^refused a\.yaml: .*a\.yaml:1:/)
  assert.deepEqual(attached(), ['one security_file_permission'])
  assert.match(source.problems()[0]?.[1] ?? '', /a\.yaml:1:/)
  writeFileSync(folder.at('a.yaml'), yaml('one'))
  await source.look()
  assert.deepEqual(attached(), ['one security_file_permission'])
  assert.deepEqual(source.problems(), [])
})

test('policies: a removal that the kernel refuses is a problem of the file, and is tried again', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('a.yaml'), yaml('one'))
  writeFileSync(folder.at('b.yaml'), yaml('two'))
  const { kernel, log, policies, source } = setup(folder.path)
  await source.start()
  kernel.keep = ({ name }) => (name === 'one' ? new CollectorError('POLICY_REFUSED', 'no memory') : undefined)
  rmSync(folder.at('a.yaml'))
  log.length = 0
  await source.look()
  await source.look()
  assert.deepEqual(log, [
    `refused a.yaml: ${folder.at('a.yaml')}: the policy stays attached without its file: no memory`,
  ])
  assert.deepEqual(kernel.names, ['one', 'two'])
  assert.deepEqual(
    source.problems().map(([file]) => file),
    [folder.at('a.yaml')],
  )
  kernel.keep = () => undefined
  await source.look()
  assert.deepEqual(log.slice(1), ['-one', 'removed a.yaml'])
  assert.deepEqual(
    policies.list().map(({ id }) => id.name),
    ['two'],
  )
  assert.deepEqual(source.problems(), [])
})

test('policies: a change that the kernel refuses leaves the old one effective', async () => {
  using folder = new Folder()
  const { kernel, attached, log, source } = await started(folder)
  kernel.refuse = ({ file }) => new CollectorError('POLICY_REFUSED', `${file}:4:3: refused`)
  writeFileSync(folder.at('a.yaml'), yaml('one', 'security_nothing'))
  await source.look()
  await source.look()
  assert.equal(log.length, 1)
  assert.deepEqual(attached(), ['one security_file_permission'])
})

test('policies: a policy that the kernel refused is tried again only on request, and then refused again or loaded', async () => {
  using folder = new Folder()
  const { attached, kernel, log, source } = setup(folder.path)
  await source.start()
  kernel.refuse = ({ file }) => new CollectorError('POLICY_REFUSED', `${file}: no rights`)
  writeFileSync(folder.at('a.yaml'), yaml('one'))
  await source.look()
  await source.look()
  const refusals = (): number => log.filter((line) => line.startsWith('refused')).length
  assert.equal(refusals(), 1)
  await source.lookAnew()
  assert.equal(refusals(), 2)
  kernel.refuse = () => undefined
  await source.look()
  assert.deepEqual(attached(), [])
  await source.lookAnew()
  assert.deepEqual(attached(), ['one security_file_permission'])
  assert.deepEqual(source.problems(), [])
})

test('policies: a file refused under several names is listed with the last one, and keeps its attached policy', async () => {
  using folder = new Folder()
  const { kernel, attached, policies, source } = await started(folder)
  kernel.refuse = ({ file }) => new CollectorError('POLICY_REFUSED', `${file}:4:3: refused`)
  const states = (): string[] => policies.list().map(({ id, state }) => `${id.name} ${state}`)
  for (const name of ['two', 'three']) {
    writeFileSync(folder.at('a.yaml'), yaml(name))
    await source.look()
    assert.deepEqual(states(), ['one enabled', `${name} error`])
  }
  rmSync(folder.at('a.yaml'))
  await source.look()
  assert.deepEqual([states(), attached()], [[], []])
})

test('policies: an internal error while attaching is thrown once, does not affect other policies and is not retried forever', async () => {
  using folder = new Folder()
  const { kernel, attached, source } = await started(folder)
  let tries = 0
  kernel.refuse = ({ name }) => {
    if (name !== 'bad') return undefined
    tries++
    return new TypeError('x is not a function')
  }
  writeFileSync(folder.at('b.yaml'), yaml('bad'))
  writeFileSync(folder.at('c.yaml'), yaml('good'))
  await assert.rejects(source.look(), TypeError)
  await source.look()
  await source.look()
  // Attached once together with the other policy, and once alone.
  assert.equal(tries, 2)
  assert.deepEqual(attached(), ['one security_file_permission', 'good security_file_permission'])
})

test('policies: a name in use is refused until its file is removed', async () => {
  using folder = new Folder()
  const { attached, log, source } = await started(folder)
  writeFileSync(folder.at('b.yaml'), yaml('one', 'security_mmap_file'))
  await source.look()
  await source.look()
  assert.equal(log.length, 1)
  assert.match(log[0] ?? '', /^refused b\.yaml: .*policy "one" is already loaded from .*a\.yaml: give it another name$/)
  rmSync(folder.at('a.yaml'))
  await source.look()
  assert.deepEqual(attached(), ['one security_mmap_file'])
  assert.deepEqual(log.slice(1), ['-one +one', 'replaced b.yaml'])
})

test('policies: a renamed file stays effective throughout', async () => {
  using folder = new Folder()
  const { log, policies, source } = await started(folder)
  renameSync(folder.at('a.yaml'), folder.at('z.yaml'))
  await source.look()
  await source.look()
  assert.deepEqual(log, ['-one +one', 'replaced z.yaml'])
  assert.deepEqual(
    policies.list().map(({ id }) => [id.source, id.name]),
    [[folder.at('z.yaml'), 'one']],
  )
})

test('policies: all files that changed since the last check are one change', async () => {
  using folder = new Folder()
  const { kernel, attached, log, source } = await started(folder)
  writeFileSync(folder.at('a.yaml'), yaml('one', 'security_mmap_file'))
  writeFileSync(folder.at('b.yaml'), yaml('two'))
  writeFileSync(folder.at('c.yaml'), 'kind: [')
  writeFileSync(folder.at('d.yaml'), yaml('four'))
  await source.look()
  assert.deepEqual(kernel.tries.slice(1), ['-one +one +two +four'])
  assert.match(log[0] ?? '', /^refused c\.yaml: /)
  assert.deepEqual(log.slice(1), ['-one +one +two +four', 'replaced a.yaml', 'added b.yaml', 'added d.yaml'])
  assert.deepEqual(attached(), [
    'one security_mmap_file',
    'two security_file_permission',
    'four security_file_permission',
  ])
})

test('policies: a refused policy does not prevent the others of the same check', async () => {
  using folder = new Folder()
  const { kernel, log, source } = await started(folder)
  kernel.refuse = ({ name, file }) =>
    name === 'two' ? new CollectorError('POLICY_REFUSED', `${file}:4:3: refused`) : undefined
  for (const name of ['two', 'three', 'four']) writeFileSync(folder.at(`${name}.yaml`), yaml(name))
  await source.look()
  assert.deepEqual(log, [
    '+four +three',
    'added four.yaml',
    'added three.yaml',
    `refused two.yaml: ${folder.at('two.yaml')}:4:3: refused`,
  ])
  await source.look()
  assert.deepEqual([log.length, kernel.names], [4, ['one', 'four', 'three']])
})

test('policies: of two new files with one name the first is loaded', async () => {
  using folder = new Folder()
  const { attached, log, source } = await started(folder)
  writeFileSync(folder.at('b.yaml'), yaml('two'))
  writeFileSync(folder.at('c.yaml'), yaml('two', 'security_mmap_file'))
  writeFileSync(folder.at('d.yaml'), yaml('two', 'security_mmap_file'))
  await source.look()
  await source.look()
  assert.deepEqual(attached(), ['one security_file_permission', 'two security_file_permission'])
  const refused = log.slice(0, 2)
  assert.deepEqual(log.slice(2), ['+two', 'added b.yaml'])
  assert.match(
    refused[0] ?? '',
    /^refused c\.yaml: .*policy "two" is already loaded from .*b\.yaml: give it another name$/,
  )
  assert.match(refused[1] ?? '', /^refused d\.yaml: .*policy "two" is already loaded from .*b\.yaml/)
})

test('policies: when the kernel refuses the first of two files with one name, the second is loaded', async () => {
  using folder = new Folder()
  const { kernel, attached, source } = await started(folder)
  kernel.refuse = ({ name, file }) =>
    file.endsWith('b.yaml') ? new CollectorError('POLICY_REFUSED', `${file}:4:3: ${name} refused`) : undefined
  writeFileSync(folder.at('b.yaml'), yaml('two'))
  writeFileSync(folder.at('c.yaml'), yaml('two', 'security_mmap_file'))
  await source.look()
  assert.deepEqual(attached(), ['one security_file_permission', 'two security_mmap_file'])
  assert.deepEqual(
    source.problems().map(([file]) => file),
    [folder.at('b.yaml')],
  )
})

test('policies: a name that one file gives up is free for a later file of the same check', async () => {
  using folder = new Folder()
  const { attached, log, source } = await started(folder)
  writeFileSync(folder.at('a.yaml'), yaml('two'))
  writeFileSync(folder.at('b.yaml'), yaml('one', 'security_mmap_file'))
  await source.look()
  assert.deepEqual(log, ['-one +two +one', 'replaced a.yaml', 'added b.yaml'])
  assert.deepEqual(attached(), ['two security_file_permission', 'one security_mmap_file'])
  assert.deepEqual(source.problems(), [])
})

test('policies: a name that one file gives up is free for an earlier file of the same check', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('b.yaml'), yaml('one'))
  const { attached, source } = setup(folder.path)
  await source.start()
  writeFileSync(folder.at('a.yaml'), yaml('one', 'security_mmap_file'))
  writeFileSync(folder.at('b.yaml'), yaml('two'))
  await source.look()
  assert.deepEqual(attached(), ['one security_mmap_file', 'two security_file_permission'])
  assert.deepEqual(source.problems(), [])
})

test('policies: two files swap their names in one check', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('a.yaml'), yaml('one'))
  writeFileSync(folder.at('b.yaml'), yaml('two'))
  const { attached, source } = setup(folder.path)
  await source.start()
  writeFileSync(folder.at('a.yaml'), yaml('two'))
  writeFileSync(folder.at('b.yaml'), yaml('one', 'security_mmap_file'))
  await source.look()
  assert.deepEqual(attached(), ['two security_file_permission', 'one security_mmap_file'])
  assert.deepEqual(source.problems(), [])
})

test('policies: of two new files with the name of a removed one, the first replaces it', async () => {
  using folder = new Folder()
  const { attached, log, source } = await started(folder)
  renameSync(folder.at('a.yaml'), folder.at('y.yaml'))
  writeFileSync(folder.at('z.yaml'), yaml('one', 'security_mmap_file'))
  await source.look()
  assert.deepEqual(attached(), ['one security_file_permission'])
  assert.deepEqual(log.slice(1), ['-one +one', 'replaced y.yaml'])
  assert.match(log[0] ?? '', /^refused z\.yaml: .*already loaded from .*y\.yaml/)
  assert.equal(log.length, 3)
})

test('policies: the same file by two paths is one policy', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('a.yaml'), yaml('one'))
  const { attached, source } = setup(folder.path, folder.at('a.yaml'))
  await source.start()
  assert.equal(attached().length, 1)
})

test('policies: removing a folder removes its policies in one change, and is reported once', async () => {
  using folder = new Folder()
  mkdirSync(folder.at('p'))
  writeFileSync(folder.at('p/a.yaml'), yaml('one'))
  writeFileSync(folder.at('p/b.yaml'), yaml('two'))
  const { attached, log, source } = setup(folder.at('p'))
  await source.start()
  log.length = 0
  rmSync(folder.at('p'), { recursive: true })
  await source.look()
  await source.look()
  assert.deepEqual(attached(), [])
  assert.deepEqual(
    log.map((line) => line.split(':')[0]),
    ['refused p', '-one -two', 'removed a.yaml', 'removed b.yaml'],
  )
  mkdirSync(folder.at('p'))
  writeFileSync(folder.at('p/a.yaml'), yaml('one'))
  await source.look()
  assert.deepEqual(attached(), ['one security_file_permission'])
  assert.deepEqual(source.problems(), [])
})

test('policies: removing a single file removes its policy', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('a.yaml'), yaml('one'))
  const { attached, source } = setup(folder.at('a.yaml'))
  await source.start()
  rmSync(folder.at('a.yaml'))
  await source.look()
  assert.deepEqual(attached(), [])
  await source.look()
  assert.match(source.problems()[0]?.[1] ?? '', /cannot read/)
})

test('policies: a path that cannot be read for now changes nothing', async () => {
  using folder = new Folder()
  mkdirSync(folder.at('p'))
  writeFileSync(folder.at('p/a.yaml'), yaml('one'))
  symlinkSync('p', folder.at('link'))
  const { attached, log, policies, source } = setup(folder.at('link'))
  await source.start()
  log.length = 0
  // A loop of links: neither "no such file" nor "no folder". Works as root too, unlike a change of the mode.
  rmSync(folder.at('link'))
  symlinkSync('link', folder.at('link'))
  await source.look()
  await source.look()
  assert.deepEqual(attached(), ['one security_file_permission'])
  assert.equal(log.length, 1)
  assert.match(log[0] ?? '', /^refused link: .*cannot read: ELOOP/)
  rmSync(folder.at('link'))
  symlinkSync('p', folder.at('link'))
  await source.look()
  assert.deepEqual(attached(), ['one security_file_permission'])
  assert.deepEqual([policies.list().length, source.problems()], [1, []])
})

test('policies: a file that cannot be read is refused and its effective policy stays', async (context) => {
  if (process.geteuid?.() === 0) {
    context.skip('root reads everything')
    return
  }
  using folder = new Folder()
  const { attached, source } = await started(folder)
  chmodSync(folder.at('a.yaml'), 0)
  await source.look()
  assert.deepEqual(attached(), ['one security_file_permission'])
})

test('policies: a file that swapped to a folder of the same name is refused, not a crash', async () => {
  using folder = new Folder()
  const { attached, log, source } = await started(folder)
  rmSync(folder.at('a.yaml'))
  mkdirSync(folder.at('a.yaml'))
  await source.look()
  assert.deepEqual(attached(), ['one security_file_permission'])
  assert.match(log.join(), /^refused a\.yaml: /)
})

test('policies: concurrent checks are one check', async () => {
  using folder = new Folder()
  const { log, source } = await started(folder)
  writeFileSync(folder.at('b.yaml'), yaml('two'))
  await Promise.all([source.look(), source.look(), source.look()])
  assert.deepEqual(log, ['+two', 'added b.yaml'])
})

test('policies: once disposed nothing is attached any more, neither by a later check nor by a running one', async () => {
  using folder = new Folder()
  const { attached, log, policies, source } = await started(folder)
  writeFileSync(folder.at('b.yaml'), yaml('two'))
  const underWay = source.look()
  source[Symbol.dispose]()
  await policies[Symbol.asyncDispose]()
  await underWay
  await source.look()
  assert.deepEqual(attached(), [])
  assert.deepEqual(log, ['-one'])
  source[Symbol.dispose]()
})

test('policies: disposed between the files of a check, none of them is attached', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('a.yaml'), yaml('one'))
  writeFileSync(folder.at('b.yaml'), yaml('two'))
  const policies = {
    // Called for the first file, whose text is read by then.
    list: () => {
      source[Symbol.dispose]()
      return []
    },
    put: () => assert.fail('nothing is attached'),
    remove: () => assert.fail('nothing is detached'),
  }
  const source = new PolicyFolder({ paths: [folder.path], policies, onChange: () => assert.fail('nothing changed') })
  await source.look()
})

test('policies: a FIFO among the files is reported, the others are read', { timeout: 20_000 }, async () => {
  using folder = new Folder()
  writeFileSync(folder.at('good.yaml'), yaml('good'))
  const { attached, log, source } = setup(folder.path)
  await source.start()
  execFileSync('mkfifo', [folder.at('a.yaml')])
  writeFileSync(folder.at('good.yaml'), yaml('good', 'security_mmap_file'))
  await source.look()
  assert.deepEqual(attached(), ['good security_mmap_file'])
  const refused = `refused a.yaml: ${folder.at('a.yaml')}: cannot read the file: it is a FIFO; expected a regular file`
  assert.deepEqual(log.slice(2), [refused, '-good +good', 'replaced good.yaml'])
})

test('policies: a folder with too many files is reported and changes nothing', async () => {
  for (const [name, count, want] of [
    ['yaml', 1_001, /cannot read: it has more than 1000 policies: split them into several folders$/],
    ['txt', 10_001, /cannot read: it has more than 10000 files: keep only policies in it$/],
  ] as const) {
    using folder = new Folder()
    writeFileSync(folder.at('good.yaml'), yaml('good'))
    const { attached, log, source } = setup(folder.path)
    await source.start()
    for (let i = 0; i < count; i++) writeFileSync(folder.at(`${i}.${name}`), '')
    await source.look()
    assert.deepEqual([attached(), log.length], [['good security_file_permission'], 3])
    assert.match(log[2] ?? '', want)
  }
})

test(
  'policies: mistakes in a folder of another user are reported without the text, which may be of any file',
  { skip: process.getuid?.() === 0 ? false : 'needs root to give files away' },
  async () => {
    using folder = new Folder()
    mkdirSync(folder.at('p'))
    const { log, source } = setup(folder.at('p'))
    await source.start()
    writeFileSync(folder.at('secret'), 'kind: word-of-root\n', { mode: 0o600 })
    symlinkSync('../secret', folder.at('p/a.yaml'))
    await source.look()
    assert.match(log.join(), /got "word-of-root"/)
    const changes = [
      () => chownSync(folder.at('p'), 65_534, 65_534),
      // A sticky folder takes new names all the same.
      () => (chownSync(folder.at('p'), 0, 0), chmodSync(folder.at('p'), 0o1777)),
    ]
    for (const [i, change] of changes.entries()) {
      change()
      symlinkSync('../secret', folder.at(`p/b${i}.yaml`))
      await source.look()
      const want = `refused b${i}.yaml: ${folder.at(`p/b${i}.yaml`)}:1:7: not a valid policy; its text is not shown, because other users may write its path: run \`ktrail check\` on it as its owner`
      assert.equal(log.at(-1), want)
    }
  },
)

test('policies: a disabled policy stays disabled until its file changes, keeps its name, and is removed with its file', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('a.yaml'), yaml('one'))
  const { attached, log, policies, source } = setup(folder.path)
  await source.start()
  const id = { source: folder.at('a.yaml'), namespace: '', name: 'one' }
  await policies.disable(id)
  writeFileSync(folder.at('b.yaml'), yaml('one'))
  await source.look()
  assert.deepEqual(attached(), [])
  assert.match(source.problems().join(), /b\.yaml: policy "one" is already loaded from .*a\.yaml/)
  rmSync(folder.at('b.yaml'))
  writeFileSync(folder.at('a.yaml'), yaml('one', 'security_file_open'))
  await source.look()
  assert.deepEqual(attached(), ['one security_file_open'])
  await policies.disable(id)
  rmSync(folder.at('a.yaml'))
  await source.look()
  assert.deepEqual([policies.list(), log.at(-1)], [[], 'removed a.yaml'])
})
test('policies: new paths take effect as a whole; policies of the old paths only are removed at the end', async () => {
  using folder = new Folder()
  for (const name of ['a', 'b']) mkdirSync(folder.at(name))
  writeFileSync(folder.at('a/moves.yaml'), yaml('moves'))
  writeFileSync(folder.at('a/goes.yaml'), yaml('goes'))
  writeFileSync(folder.at('b/moves.yaml'), yaml('moves'))
  writeFileSync(folder.at('b/comes.yaml'), yaml('comes'))
  const { attached, policies, source } = setup(folder.at('a'))
  await source.start()
  const { commit } = await source.prepare([folder.at('b')])
  const names = (): string[] => attached().map((text) => text.split(' ', 1)[0] ?? '')
  assert.deepEqual(names().toSorted(), ['comes', 'goes', 'moves'])
  await commit()
  assert.deepEqual(names().toSorted(), ['comes', 'moves'])
  assert.deepEqual(
    policies
      .list()
      .map(({ id }) => id.source)
      .toSorted(),
    [folder.at('b/comes.yaml'), folder.at('b/moves.yaml')],
  )
})

for (const how of ['a mistake', 'a refusal of the kernel', 'a rollback'] as const) {
  test(`policies: ${how} in new paths changes nothing`, async () => {
    using folder = new Folder()
    for (const name of ['a', 'b']) mkdirSync(folder.at(name))
    writeFileSync(folder.at('a/one.yaml'), yaml('one'))
    writeFileSync(folder.at('a/two.yaml'), yaml('two'))
    writeFileSync(folder.at('b/one.yaml'), yaml('one', 'security_path_truncate'))
    writeFileSync(folder.at('b/three.yaml'), how === 'a mistake' ? 'kind: 7\n' : yaml('three'))
    const { kernel, attached, policies, source } = setup(folder.at('a'))
    await source.start()
    const before = attached().toSorted()
    if (how === 'a refusal of the kernel')
      kernel.refuse = ({ name, file }) =>
        name === 'three' ? new CollectorError('POLICY_REFUSED', `${file}:4:3: no kernel function`) : undefined
    const prepared = source.prepare([folder.at('b')])
    if (how === 'a rollback') await (await prepared).rollback()
    else await assert.rejects(prepared, { code: 'POLICY_REFUSED', message: /b\/three\.yaml:\d+:\d+: / })
    assert.deepEqual(attached().toSorted(), before)
    assert.deepEqual(source.problems(), [])
    const enabled = policies.list().filter(({ state }) => state === 'enabled')
    assert.deepEqual(enabled.map(({ id }) => id.source).toSorted(), [folder.at('a/one.yaml'), folder.at('a/two.yaml')])
    await source.look()
    assert.deepEqual(attached().toSorted(), before)
  })
}
