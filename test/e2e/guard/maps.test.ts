/**
 * Root changes the files, programs and places of policies, in maps that change with policies and so cannot be frozen: the change is found within
 * ten seconds, reported, and repaired.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { actBinary, line, runAct } from '../support/act.ts'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { kernelAtLeast } from '../support/kernel.ts'
import { fileHook, path, policy } from '../support/policy.ts'
import { lostIn } from '../support/record.ts'
import { bpftool, found, mapOf, unready, zeros } from './support/tampering.ts'

const skip = cannotRun()
if (skip !== false) console.log(`maps: skipped: ${skip}`)
const folder = skip === false ? freshFolder('maps') : '/none'
const file = join(folder, 'f')
const byFile = kernelAtLeast(5, 17)

const withFilters = (name: string, filters: object): string =>
  policy(name, [{ ...fileHook(), selectors: [{ matchArgs: [path('Prefix', folder)], ...filters }] }])

const keysOf = (id: number): string[][] => {
  const entries: ReadonlyArray<{ readonly key: string[] }> = JSON.parse(
    execFileSync('bpftool', ['-j', 'map', 'dump', 'id', String(id)], { encoding: 'utf8' }),
  )
  return entries.map(({ key }) => key)
}

describe('maps of policies', { skip }, () => {
  let agent: TestAgent
  let expected: string[] = []

  /** The policies that report one read of the file. */
  async function reads(): Promise<string[]> {
    const lines = await agent.during(() => runAct([line('read', file)]))
    return lines.flatMap(({ process_kprobe: kprobe }) => kprobe?.policy_name ?? []).toSorted()
  }

  before(async () => {
    writeFileSync(file, 'x')
    const inside = policy('inside', [fileHook([path('UnderDir', folder)])]).replace('cilium.io/', 'ktrail.dev/')
    agent = await TestAgent.start({
      policies: {
        'program.yaml': withFilters('program', { matchBinaries: [{ operator: 'In', values: [actBinary()] }] }),
        'host.yaml': withFilters('host', { matchWorkloads: { hostSelector: {} } }),
        ...(byFile ? { 'inside.yaml': inside } : {}),
      },
    })
    expected = await reads()
    assert.deepEqual([...new Set(expected)], ['host', ...(byFile ? ['inside'] : []), 'program'])
  })
  after(() => agent?.[Symbol.asyncDispose]())

  const emptied = (id: number): void => {
    const keys = keysOf(id)
    assert.ok(keys.length > 0)
    for (const key of keys) assert.equal(bpftool('map', 'delete', 'id', String(id), 'key', ...key), '')
  }
  const zeroed = (id: number, key = 0, value = 0): void => {
    assert.equal(bpftool('map', 'update', 'id', String(id), 'key', ...zeros(key), 'value', ...zeros(value)), '')
  }

  for (const [name, ofFiles, change] of [
    ['program_starts', false, 'emptied'],
    ['generation', false, 'zeroed'],
    ['workloads', false, 'emptied'],
    ['identities', true, 'emptied'],
    ['identity_names', true, 'emptied'],
    ['identity_screen', true, 'zeroed'],
  ] as const) {
    it(
      `${name}, ${change}: is repaired, and an unready agent`,
      {
        skip: ofFiles && !byFile && 'UnderDir needs Linux 5.17',
      },
      async () => {
        const [, earlier] = await found(agent, 'policy_map_changed')
        const { id, bytes_key, bytes_value } = mapOf(name)
        if (change === 'emptied') emptied(id)
        else zeroed(id, bytes_key, bytes_value)
        const seconds = await unready(
          agent,
          new RegExp(`^tampering: ${name}: \\d+ missing or changed entr(?:y|ies), .*: repaired$`, 'm'),
        )
        console.log(`${name}: seen after ${seconds.toFixed(1)} s`)
        assert.deepEqual(await reads(), expected)
        const [now, counted] = await found(agent, 'policy_map_changed')
        assert.ok(now >= 1 && counted > earlier)
      },
    )
  }

  it(
    'an entry added by another program is removed',
    {
      skip: !kernelAtLeast(5, 13) && 'before, a map of prefixes is not read in parts',
    },
    async () => {
      const { id, bytes_value } = mapOf('program_starts')
      const keys = keysOf(id)
      const [key = []] = keys
      // The first word is the number of bits of the text: one letter less.
      const bits = Buffer.from(key.map(Number)).readUInt32LE() - 8
      const shorter = [...u32Bytes(bits), ...key.slice(4, 4 + bits / 8), ...key.slice(4 + bits / 8).map(() => '0x00')]
      const update = ['map', 'update', 'id', String(id), 'key', ...shorter, 'value', ...zeros(bytes_value)]
      assert.equal(bpftool(...update), '')
      await unready(agent, /^tampering: program_starts: 1 foreign entry, .*: repaired$/m)
      assert.equal(keysOf(id).length, keys.length)
      assert.deepEqual(await reads(), expected)
    },
  )

  it('each change is in a loss record', async () => {
    const [, counted] = await found(agent, 'policy_map_changed')
    await agent.until('the loss records', () => lostIn(agent.lines()) === counted)
  })
})

const u32Bytes = (value: number): string[] => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return [...bytes].map((byte) => `0x${byte.toString(16).padStart(2, '0')}`)
}
