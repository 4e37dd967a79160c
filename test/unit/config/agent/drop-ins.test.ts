/** Drop-in files: `config.d/` beside the config file. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { describe, it } from 'node:test'
import { checkFile, parseConfigFile } from '../../../../config/agent/check.ts'
import type { ConfigResult } from '../../../../config/agent/load.ts'
import { printConfig } from '../../../../config/agent/print.ts'
import { Folder } from '../../exporters/support/folder.ts'

const BASE = `
exporters:
  bus: { type: kafka, brokers: ["a:9092", "b:9092"], topic: t, batch: { max_events: 7 } }
`

/** Writes a config and its drop-in files. Returns the config's path. */
function write(folder: Folder, dropIns: Readonly<Record<string, string>>, text = BASE): string {
  writeFileSync(folder.at('ktrail.yaml'), text)
  mkdirSync(folder.at('config.d'), { recursive: true })
  for (const [name, content] of Object.entries(dropIns)) writeFileSync(folder.at(`config.d/${name}`), content)
  return folder.at('ktrail.yaml')
}

async function problems(folder: Folder, result: Promise<ConfigResult>): Promise<string[]> {
  const got = await result
  assert.ok('problems' in got, 'expected a refusal')
  return got.problems.map(
    ({ file, line, col, message }) => `${file.replace(`${folder.path}/`, '')}:${line}:${col}: ${message}`,
  )
}

describe('drop-in files', () => {
  it('are merged key by key in the order of their names; lists and texts are replaced', async () => {
    using folder = new Folder()
    const file = write(folder, {
      '20-second.yaml': 'log: { level: warn }\nexporters: { bus: { brokers: ["c:9092"] } }',
      '10-first.yaml': 'log: { level: debug, format: text }\nexporters: { bus: { batch: { max_bytes: 1MB } } }',
      '.hidden.yaml': 'nonsense',
      'README.md': 'nonsense',
    })
    const loaded = await parseConfigFile(file, {})
    assert.ok('config' in loaded, JSON.stringify(loaded))
    const { bus } = loaded.config.exporters
    assert.ok(bus?.type === 'kafka')
    assert.deepEqual(bus.brokers, ['c:9092'])
    assert.deepEqual([bus.batch.max_events, bus.batch.max_bytes], [7, 1_000_000])
    assert.deepEqual(loaded.config.log, { level: 'warn', format: 'text' })
    assert.deepEqual(
      loaded.files.map((path) => basename(path)),
      ['ktrail.yaml', '10-first.yaml', '20-second.yaml'],
    )
    assert.match(printConfig(loaded, { effective: true }), /level: warn # 20-second.yaml line 1\n/)
  })

  it('name their own file and line in every problem, also one that only the merged config has', async () => {
    using folder = new Folder()
    const file = write(folder, {
      '10-a.yaml': 'log:\n  level: loud\nexporters:\n  bus:\n    topik: x',
      '20-b.yaml': '# one\nmemory: { soft_limit: 600MiB }',
    })
    const want = [
      /^config.d\/10-a.yaml:2:10: log.level: expected one of/,
      /^config.d\/10-a.yaml:5:5: exporters.bus.topik: unknown key "topik" \(did you mean "topic"\?\)/,
      /^config.d\/20-b.yaml:2:23: memory.soft_limit: expected at most memory.hard_limit/,
    ]
    const got = await problems(folder, parseConfigFile(file, {}))
    assert.equal(got.length, want.length, got.join('\n'))
    got.forEach((line, i) => assert.match(line, want[i] ?? /^$/))
    const { problems: checked } = await checkFile(file, {})
    assert.equal(checked.length, want.length)
  })

  it('are refused with a position if one is not YAML, and the mistakes of all files are shown', async () => {
    using folder = new Folder()
    const file = write(folder, { '1.yaml': 'a: [', '2.yaml': 'log: x: y' }, 'exporters: {')
    const got = await problems(folder, parseConfigFile(file, {}))
    for (const name of ['ktrail.yaml', 'config.d/1.yaml', 'config.d/2.yaml']) {
      assert.ok(
        got.some((line) => line.startsWith(`${name}:1:`)),
        got.join('\n'),
      )
    }
  })

  it('are bounded in number and size, and a file in place of the folder is refused', async () => {
    using many = new Folder()
    const names = Array.from({ length: 101 }, (_, i) => [`${i}.yaml`, 'log: {}'] as const)
    const file = write(many, Object.fromEntries(names))
    assert.deepEqual(await problems(many, parseConfigFile(file, {})), [
      'config.d:0:0: expected at most 100 files, got 101',
    ])
    using large = new Folder()
    const big = `# ${'x'.repeat(600_000)}\nlog: {}`
    assert.match(
      (await problems(large, parseConfigFile(write(large, { 'a.yaml': big, 'b.yaml': big }), {}))).join('\n'),
      /^config.d:0:0: expected at most 1048576 bytes in all files, got 12000\d\d$/,
    )
    using plain = new Folder()
    writeFileSync(plain.at('ktrail.yaml'), BASE)
    writeFileSync(plain.at('config.d'), 'log: {}')
    assert.deepEqual(await problems(plain, parseConfigFile(plain.at('ktrail.yaml'), {})), [
      'config.d:0:0: expected a folder of drop-in files, got a file',
    ])
  })

  it('change the hash of the config; without them it is that of the file', async () => {
    using folder = new Folder()
    const hashOf = async (dropIns: Record<string, string>): Promise<string> => {
      const loaded = await parseConfigFile(write(folder, dropIns), {})
      assert.ok('hash' in loaded)
      return loaded.hash
    }
    const alone = await hashOf({})
    assert.notEqual(await hashOf({ 'a.yaml': 'log: {}' }), alone)
    assert.notEqual(await hashOf({ 'a.yaml': 'log: { level: warn }' }), await hashOf({ 'a.yaml': 'log: {}' }))
  })
})
