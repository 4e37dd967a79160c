/** The library of policies: its names, and places of a config that use them. */
import assert from 'node:assert/strict'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { checkFile, checkPolicies, parseConfigFile } from '../../../../../config/agent/check.ts'
import { libraryFiles, libraryPolicies } from '../../../../../config/policy/sources/library.ts'
import { parsePolicy } from '../../../../../config/policy/parse.ts'
import { Folder } from '../../../exporters/support/folder.ts'

const policies = await libraryPolicies()
const bundles = new Set(policies.flatMap((policy) => policy.bundles))

test('library: the head of each file has the values of the whole file, which is a policy', () => {
  assert.ok(policies.length >= 3)
  for (const { file, name, ...about } of policies) {
    const text = readFileSync(file, 'utf8')
    const { metadata } = parse(text) as { metadata: { name: string; annotations: Record<string, string> } }
    assert.deepEqual([name, `${name}.yaml`], [metadata.name, basename(file)])
    for (const [key, value] of Object.entries(about))
      assert.equal([value].flat().join(', '), metadata.annotations[`ktrail.dev/${key}`], `${name}: ${key}`)
    assert.ok('policy' in parsePolicy(text, file), name)
  }
})

test('library: a name is a policy or a bundle; another one gets the nearest', async () => {
  for (const { name, file } of policies) {
    assert.ok(!bundles.has(name), name)
    assert.deepEqual(await libraryFiles(`library:${name}`), [file])
  }
  for (const bundle of bundles) {
    const files = policies.filter((policy) => policy.bundles.includes(bundle)).map(({ file }) => file)
    assert.deepEqual(await libraryFiles(`library:${bundle}`), files)
  }
  await assert.rejects(libraryFiles('library:defalt'), {
    message: 'the library has no policy or bundle "defalt" (did you mean "default"?)',
  })
  await assert.rejects(libraryFiles('library:../x'), {
    message: 'the library has no policy or bundle "../x"; ktrail policy library lists them',
  })
  await assert.rejects(libraryFiles('library:'), /no policy or bundle ""; ktrail policy library lists them$/)
})

test('library: a config names policies, bundles and paths; a policy of two bundles is checked once', async () => {
  using folder = new Folder()
  const file = folder.at('k.yaml')
  writeFileSync(file, 'policies: [library:pci, library:cis, library:default]\nexporters: { s: { type: stdout } }\n')
  const checked = await checkFile(file, {})
  assert.deepEqual([checked.problems, checked.loaded?.config.policies.length], [[], 3])
  const found = await checkPolicies(checked, file)
  const names = found.policies.map(({ policy }) => policy?.name)
  assert.deepEqual(names.toSorted(), [...new Set(names)].toSorted())
  assert.ok(names.includes('sudoers-pam'))
  assert.deepEqual(found.names.problems, [])
})

test('library: an unknown name is a mistake of the config, for the check and for the start', async () => {
  using folder = new Folder()
  const file = folder.at('k.yaml')
  writeFileSync(file, 'policies:\n  - library:pci\n  - library:sudoers-pan\nexporters: { s: { type: stdout } }\n')
  const message = 'policies[1]: the library has no policy or bundle "sudoers-pan" (did you mean "sudoers-pam"?)'
  const want = [{ file, line: 3, col: 5, message }]
  assert.deepEqual((await checkFile(file, {})).problems, want)
  assert.deepEqual(await parseConfigFile(file, {}), { problems: want })
})

test('library: a name without its prefix gets it as a hint', async () => {
  using folder = new Folder()
  const file = folder.at('k.yaml')
  writeFileSync(file, 'policies: [pci, ./sudoers-pam.yaml, ./other]\nexporters: { s: { type: stdout } }\n')
  const messages = (await checkFile(file, {})).problems.map(({ message }) => message.replace(/^.*: no such/, 'no such'))
  const hint = (name: string): string => `no such file (did you mean "library:${name}"?)`
  assert.deepEqual(messages, [hint('pci'), hint('sudoers-pam'), 'no such file'])
})

test('library: a name is no path, so the working directory is not checked', async () => {
  using folder = new Folder()
  const before = process.cwd()
  const file = folder.at('k.yaml')
  writeFileSync(file, 'policies: [library:pci]\nexporters: { s: { type: stdout } }\n')
  using open = new Folder()
  chmodSync(open.path, 0o777)
  process.chdir(open.path)
  try {
    const { warnings } = await checkFile(file, {})
    assert.deepEqual(
      warnings.filter((warning) => warning.message.includes(open.path)),
      [],
    )
  } finally {
    process.chdir(before)
  }
})
