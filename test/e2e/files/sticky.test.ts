/** `sticky`: a file or folder that a rename moves out of a watched folder stays watched; without it, it does not. */
import assert from 'node:assert/strict'
import { linkSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { line, runAct } from '../support/act.ts'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { kernelAtLeast } from '../support/kernel.ts'
import { policy } from '../support/policy.ts'

const skip = cannotRun() || (!kernelAtLeast(5, 17) && 'UnderDir needs 5.17')

describe('files that left a sticky folder', { skip }, () => {
  let agent: TestAgent
  const top = skip === false ? freshFolder('sticky') : ''
  const watched = join(top, 'watched')
  const outside = join(top, 'outside')
  const inside = (...names: string[]): string => join(watched, ...names)
  const out = (...names: string[]): string => join(outside, ...names)
  const FILES = ['file', 'again', 'other', 'exchanged', 'linked', 'folder/deep/file', 'folder/later']

  const document = (name: string, filter: object): string =>
    policy(name, [
      {
        call: 'security_file_open',
        syscall: false,
        args: [{ index: 0, type: 'file' }],
        selectors: [{ matchArgs: [{ index: 0, operator: 'UnderDir', ...filter }] }],
      },
    ]).replace('cilium.io/', 'ktrail.dev/')

  before(async () => {
    for (const folder of [inside('folder', 'deep'), outside]) mkdirSync(folder, { recursive: true })
    for (const file of FILES) writeFileSync(inside(file), 'x')
    writeFileSync(out('never'), 'x')
    agent = await TestAgent.start({
      policies: {
        'sticky.yaml': document('sticky', { values: [watched], sticky: true }),
        'plain.yaml': document('plain', { values: [watched] }),
      },
    })
  })
  after(() => agent[Symbol.asyncDispose]())

  /** Paths that are reported, by policy. */
  async function reported(lines: readonly string[]): Promise<Record<string, string[]>> {
    const events = await agent.during(() => runAct(lines))
    const by: Record<string, string[]> = { sticky: [], plain: [] }
    for (const { process_kprobe: event } of events) {
      const path = event?.args?.[0]?.file_arg?.path
      if (path !== undefined) by[event?.policy_name ?? '']?.push(path)
    }
    return by
  }

  test('a file moves out and replaces another one: the other links of the replaced file stay unwatched', async () => {
    for (const file of [inside('over'), out('replaced')]) writeFileSync(file, 'x')
    linkSync(out('replaced'), out('link'))
    const lines = [
      line('rename', inside('over'), out('replaced')),
      line('read', out('link')),
      line('read', out('replaced')),
    ]
    assert.deepEqual(await reported(lines), { sticky: [out('replaced')], plain: [] })
  })

  test('a file that is moved out, and then again', async () => {
    const lines = [line('rename', inside('file'), out('file')), line('read', out('file'))]
    assert.deepEqual(await reported(lines), { sticky: [out('file')], plain: [] })
    const more = [line('rename', out('file'), out('twice')), line('read', out('twice')), line('read', out('never'))]
    assert.deepEqual(await reported(more), { sticky: [out('twice')], plain: [] })
  })

  test('a folder is moved out: files in it, files made in it, and files moved out of it', async () => {
    const lines = [
      line('rename', inside('folder'), out('folder')),
      line('read', out('folder', 'deep', 'file')),
      line('create', out('folder', 'new')),
      line('rename', out('folder', 'later'), out('later')),
      line('read', out('later')),
    ]
    const want = [out('folder', 'deep', 'file'), out('folder', 'new'), out('later')]
    assert.deepEqual(await reported(lines), { sticky: want, plain: [] })
  })

  test('a file that is moved out and back is watched as before', async () => {
    const lines = [
      line('rename', inside('again'), out('again')),
      line('rename', out('again'), inside('again')),
      line('read', inside('again')),
    ]
    assert.deepEqual(await reported(lines), { sticky: [inside('again')], plain: [inside('again')] })
  })

  test('a hard link of a file that is moved out', async () => {
    const lines = [
      line('rename', inside('linked'), out('linked')),
      line('link', out('linked'), out('second')),
      line('read', out('second')),
    ]
    assert.deepEqual(await reported(lines), { sticky: [out('second')], plain: [] })
  })

  test('a rename by another process, and the folder itself', async () => {
    renameSync(inside('other'), out('other'))
    assert.deepEqual(await reported([line('read', out('other'))]), { sticky: [out('other')], plain: [] })
    renameSync(watched, out('was-watched'))
    // Within six seconds the agent learns that the path belongs to another folder.
    let seen = await reported([line('read', out('was-watched', 'exchanged'))])
    for (let i = 0; i < 60 && seen['plain']?.length !== 0; i++) {
      seen = await reported([line('read', out('was-watched', 'exchanged'))])
    }
    assert.deepEqual(seen, { sticky: [out('was-watched', 'exchanged')], plain: [] })
    renameSync(out('was-watched'), watched)
  })

  test('another policy with its own list does not match these files, even after the first policy is removed', async () => {
    await agent.withdraw('sticky')
    const fresh = document('fresh', { values: [inside('folder')], sticky: true })
    assert.equal(await agent.apply('fresh', fresh), 'added')
    const events = await agent.during(() => runAct([line('read', out('twice')), line('read', out('other'))]))
    assert.deepEqual(
      events.filter(({ process_kprobe: event }) => event !== undefined),
      [],
    )
  })
})
