/** The lint rules of .oxlintrc.json, run by oxlint on a tree of a few small files. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

/** `file:line: rule: message` of every offence in a tree of these files. */
function offences(files: Readonly<Record<string, string>>): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'ktrail-lint-'))
  try {
    const config: { jsPlugins: string[] } = JSON.parse(readFileSync(join(ROOT, '.oxlintrc.json'), 'utf8'))
    config.jsPlugins = config.jsPlugins.map((plugin) => join(ROOT, plugin))
    writeFileSync(join(folder, '.oxlintrc.json'), JSON.stringify(config))
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, file)), { recursive: true })
      writeFileSync(join(folder, file), text)
    }
    const oxlint = join(ROOT, 'node_modules/oxlint/bin/oxlint')
    const { stdout, stderr } = spawnSync(process.execPath, [oxlint, '--format=json'], { cwd: folder, encoding: 'utf8' })
    assert.equal(stderr, '')
    const { diagnostics }: { diagnostics: ReadonlyArray<Record<string, unknown>> } = JSON.parse(stdout)
    return diagnostics.map(({ code, filename, message, labels }) => {
      const [label] = labels as ReadonlyArray<{ span: { line: number } }>
      return `${String(filename)}:${label?.span.line ?? 0}: ${String(code)}: ${String(message)}`
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const imports = (specifier: string): string => `import { a } from '${specifier}'\nexport const b: unknown = a\n`
const typed = (specifier: string): string => `import type { A } from '${specifier}'\nexport type B = A\n`

test('lint: each folder may import the folders of its row', () => {
  const found = offences({
    'config/agent/a.ts': imports('../policy/b.ts') + typed('../yaml/c.ts') + `export { z } from 'zod'\n`,
    'config/policy/a.ts': imports('../yaml/c.ts'),
    'native/index.ts': typed('./types.ts'),
    'exporters/sinks/a.ts': imports('../../config/agent/a.ts') + typed('../contract/event.ts'),
    'collector/agent.ts':
      `import { a } from '../config/agent/a.ts'\nimport { b } from '../native/index.ts'\nimport { c } from '../exporters/index.ts'\n` +
      'export const all: unknown = [a, b, c]\n',
    'collector/a.ts': typed('../exporters/contract/event.ts') + `export type { Map } from '../native/types.ts'\n`,
    'test/unit/a.test.ts': imports('../../native/load-log.ts'),
    'deploy/a.ts': imports('../native/load-log.ts'),
  })
  assert.deepEqual(found, [])
})

test('lint: refuses every other import of ours, with the row', () => {
  const found = offences({
    'config/agent/a.ts': `\n${imports('../../collector/errors.ts')}`,
    'config/policy/a.ts': typed('../agent/load.ts'),
    'config/yaml/a.ts': imports('../policy/policy.ts'),
    'native/a.ts': `export * from '../config/base/units.ts'\n`,
    'exporters/buffer/a.ts': imports('../sending/sender.ts'),
    'exporters/contract/a.ts': typed('../runtime/compression.ts'),
    'exporters/runtime/a.ts': imports('../encoding/pool.ts'),
    'exporters/sending/a.ts': imports('../sinks/file/exporter.ts'),
    'exporters/a.ts': `export const a: unknown = await import('../collector/errors.ts')\n`,
    'exporters/b.ts': imports('../package.json'),
    'exporters/c.ts': `export type A = import('../native/types.ts').Link\n`,
    'collector/a.ts': imports('../native/load-log.ts'),
    'collector/b.ts': imports('../exporters/contract/event.ts'),
    'collector/c.ts': typed('../exporters/sending/sender.ts'),
    'collector/d.ts': `export { a } from '../test/support/a.ts'\n`,
  })
  const refused = (at: string, target: string, room: string): string =>
    `${at}: ktrail(rooms): imports ${target}, which is not in the row of ${room} (test/support/lint/rooms.ts)`
  assert.deepEqual(found.toSorted(), [
    refused('collector/a.ts:1', 'native/load-log.ts', 'collector'),
    refused('collector/b.ts:1', 'exporters/contract/event.ts', 'collector'),
    refused('collector/c.ts:1', 'the types of exporters/sending/sender.ts', 'collector'),
    refused('collector/d.ts:1', 'test/support/a.ts', 'collector'),
    refused('config/agent/a.ts:2', 'collector/errors.ts', 'config/agent'),
    refused('config/policy/a.ts:1', 'the types of config/agent/load.ts', 'config/policy'),
    refused('config/yaml/a.ts:1', 'config/policy/policy.ts', 'config/yaml'),
    refused('exporters/a.ts:1', 'collector/errors.ts', 'exporters'),
    refused('exporters/b.ts:1', 'package.json', 'exporters'),
    refused('exporters/buffer/a.ts:1', 'exporters/sending/sender.ts', 'exporters/buffer'),
    refused('exporters/c.ts:1', 'native/types.ts', 'exporters'),
    refused('exporters/contract/a.ts:1', 'the types of exporters/runtime/compression.ts', 'exporters/contract'),
    refused('exporters/runtime/a.ts:1', 'exporters/encoding/pool.ts', 'exporters/runtime'),
    refused('exporters/sending/a.ts:1', 'exporters/sinks/file/exporter.ts', 'exporters/sending'),
    refused('native/a.ts:1', 'config/base/units.ts', 'native'),
  ])
})

test('lint: only the agent imports config, native and exporters together', () => {
  const found = offences({
    'collector/a.ts':
      `import type { A } from '../exporters/contract/event.ts'\nimport { b } from '../native/index.ts'\n` +
      `import { c } from '../config/agent/a.ts'\nimport { d } from '../exporters/index.ts'\nexport const all: A = [b, c, d]\n`,
  })
  assert.deepEqual(found, [
    'collector/a.ts:4: ktrail(rooms): sees config, native and exporters, but only collector/agent.ts may',
  ])
})

test('lint: refuses circles, also of types, and long files', () => {
  const long = (lines: number): string => '// A line counts.\n'.repeat(lines - 1) + 'export const a = 1\n'
  const found = offences({
    'config/a.ts': typed('./b.ts'),
    'config/b.ts': `import type { B } from './a.ts'\nexport type A = B\n`,
    'native/a.ts': long(350),
    'native/b.ts': long(351),
    'test/a.ts': long(351),
  })
  assert.deepEqual(found.map((offence) => offence.replace(/:\d+: /, ': ')).toSorted(), [
    'config/a.ts: import(no-cycle): Dependency cycle detected',
    'config/b.ts: import(no-cycle): Dependency cycle detected',
    'native/b.ts: eslint(max-lines): File has too many lines (351).',
  ])
})

test('lint: comments and strings begin with their subject, in short sentences', () => {
  const long = `The pages ${'and pages '.repeat(12)}are there.`
  const found = offences({
    'test/a.ts': [
      '/** What is read.\n *\n *   what a drawing has\n */',
      '// None of these',
      '// is read.',
      `export const a = '${long}'`,
      "export const b = 'What'",
      'export const c = `The agent asks for ${a}.`',
      '',
    ].join('\n'),
  })
  assert.deepEqual(
    found.map((each) => each.split(': ').slice(0, 3).join(': ')),
    [
      'test/a.ts:1: ktrail(prose): "What"',
      'test/a.ts:5: ktrail(prose): "None"',
      'test/a.ts:7: ktrail(prose): 28 words in one sentence, at most 25',
      'test/a.ts:9: ktrail(prose): "agent asks"',
    ],
  )
})
