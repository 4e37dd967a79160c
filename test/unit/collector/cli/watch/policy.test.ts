/** The policies that `ktrail watch` makes: each is valid, and has the calls and filters of the wanted kinds of access. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ACCESSES, policyText } from '../../../../../collector/cli/watch/policy.ts'
import type { Access } from '../../../../../collector/cli/watch/policy.ts'
import { parsePolicy } from '../../../../../config/policy/parse.ts'

const FILE = { path: '/etc/shadow', isFolder: false }
const FOLDER = { path: '/etc/ssh', isFolder: true }

interface Hook {
  readonly call: string
  readonly aggregate?: object
  readonly selectors: ReadonlyArray<{ readonly matchArgs: readonly object[]; readonly matchReturnArgs?: unknown }>
}

async function hooksOf(accesses: readonly Access[], byName: boolean, watched = [FILE, FOLDER]): Promise<Hook[]> {
  const text = await policyText(watched, accesses, byName, true)
  const parsed = parsePolicy(text, 'watch')
  assert.deepEqual('problems' in parsed ? parsed.problems : parsed.warnings, [], `${accesses.join()} ${byName}`)
  return (JSON.parse(text) as { spec: { kprobes: Hook[] } }).spec.kprobes
}

test('watch: every choice of accesses makes a valid policy, by identity and by name', async () => {
  const calls = new Map<string, number>()
  for (const byName of [false, true]) {
    for (let bits = 1; bits < 1 << ACCESSES.length; bits++) {
      const accesses = ACCESSES.filter((_, i) => bits & (1 << i))
      calls.set(`${accesses.join()} ${byName}`, (await hooksOf(accesses, byName)).length)
    }
  }
  assert.deepEqual(
    [calls.get('read false'), calls.get('exec false')],
    [4, 5],
    'reads: read, map, open (two functions); executions also bprm and mprotect',
  )
  assert.ok((calls.get('write false') ?? 0) > 25)
})

test('watch: the kernel distinguishes reads and writes; a private mapping is no write', async () => {
  const filtersOf = async (accesses: readonly Access[], call: string): Promise<unknown> =>
    (await hooksOf(accesses, false))
      .find((hook) => hook.call === call)
      ?.selectors.map(({ matchArgs }) => matchArgs.slice(1))
  const mask = (index: number, bit: string): object => ({ index, operator: 'Mask', values: [bit] })
  assert.deepEqual(await filtersOf(['read'], 'security_file_permission'), [[mask(1, '4')]])
  assert.deepEqual(await filtersOf(['write'], 'security_file_permission'), [[mask(1, '2')]])
  assert.deepEqual(await filtersOf(['read', 'write'], 'security_file_permission'), [[]])
  assert.deepEqual(await filtersOf(['write'], 'security_mmap_file'), [[mask(1, '2'), mask(2, '1')]])
  assert.equal(await filtersOf(['read'], 'vfs_unlink'), undefined)
})

test('watch: by identity, equal accesses to the content are counted', async () => {
  const counted = async (byName: boolean): Promise<string[]> =>
    (await hooksOf(ACCESSES, byName)).filter(({ aggregate }) => aggregate !== undefined).map(({ call }) => call)
  const content = ['security_file_permission', 'security_mmap_file', 'security_file_mprotect']
  assert.deepEqual([await counted(false), await counted(true)], [content, []])
})

test('watch: opens are shown only when they are refused', async () => {
  const hooks = await hooksOf(ACCESSES, false)
  const refused = [{ index: 0, operator: 'LessThan', values: ['0'] }]
  for (const call of ['may_open', 'security_file_open'])
    assert.deepEqual(
      hooks.find((hook) => hook.call === call)?.selectors.map((each) => each.matchReturnArgs),
      [refused],
    )
})

test('watch: by name, a folder is its own path and all that begins with it and a slash', async () => {
  const [read] = await hooksOf(['read'], true)
  assert.deepEqual(
    read?.selectors.map(({ matchArgs }) => matchArgs[0]),
    [
      { index: 0, operator: 'Equal', values: ['/etc/shadow', '/etc/ssh'] },
      { index: 0, operator: 'Prefix', values: ['/etc/ssh/'] },
    ],
  )
  const [root] = await hooksOf(['read'], true, [{ path: '/', isFolder: true }])
  assert.deepEqual(root?.selectors[1]?.matchArgs[0], { index: 0, operator: 'Prefix', values: ['/'] })
  const [alone] = await hooksOf(['read'], true, [FILE])
  assert.equal(alone?.selectors.length, 1)
})
