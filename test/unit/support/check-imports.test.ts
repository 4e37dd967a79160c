import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { checkFile, importsOf } from '../../support/check-imports.ts'

const there = (): boolean => true

/** The messages for one file, as `line: message`. */
function complaints(file: string, source: string, exists: (target: string) => boolean = there): string[] {
  return checkFile(file, source, exists).map(({ line, message }) => `${line}: ${message}`)
}

test('check-imports: allows each room the imports that its rule lists', () => {
  const rows = [
    {
      file: 'config/agent/load.ts',
      source: `import { a } from './yaml.ts'\nimport { z } from 'zod'\nimport fs from 'node:fs'`,
    },
    { file: 'native/index.ts', source: `import type { Link } from './types.ts'` },
    { file: 'exporters/sinks/file/exporter.ts', source: `import { Size } from '../../../config/yaml/units.ts'` },
    { file: 'exporters/fanout.ts', source: `import type { Event } from './contract/event.ts'` },
    { file: 'collector/plan.ts', source: `import type { Policy } from '../config/policy/policy.ts'` },
    { file: 'collector/ingest/source.ts', source: `import { openRing } from '../../native/index.ts'` },
    { file: 'collector/ingest/normalize.ts', source: `import type { Hook } from '../../exporters/contract/event.ts'` },
    { file: 'collector/kernel/objects.ts', source: `import type { BpfObject } from '../../native/types.ts'` },
    { file: 'collector/fanout.ts', source: `import type { Books } from '../exporters/contract/exporter.ts'` },
    {
      file: 'collector/agent.ts',
      source: `import { a } from '../config/a.ts'\nimport { b } from '../native/index.ts'\nimport { c } from '../exporters/index.ts'`,
    },
    {
      file: 'test/unit/x.test.ts',
      source: `import { a } from '../../native/ring.ts'\nimport b from '../../package.json'`,
    },
    { file: 'deploy/any.ts', source: `import { a } from '../native/ring.ts'` },
  ]
  for (const { file, source } of rows) assert.deepEqual(complaints(file, source), [], file)
})

test('check-imports: reports the line and the rule of each offence', () => {
  const exporters = 'but exporters import config'
  const collector = /^1: imports (the types of )?[^,]+, but the collector imports config, /
  const rows = [
    {
      file: 'config/a.ts',
      source: `\nimport { x } from '../collector/errors.ts'`,
      want: '2: imports collector/errors.ts, but config imports nothing of ours',
    },
    {
      file: 'config/a.ts',
      source: `import type { x } from '../native/types.ts'`,
      want: '1: imports the types of native/types.ts, but config imports nothing of ours',
    },
    {
      file: 'native/a.ts',
      source: `import '../config/yaml/units.ts'`,
      want: '1: imports config/yaml/units.ts, but native imports nothing of ours',
    },
    {
      file: 'exporters/a.ts',
      source: `import { E } from '../collector/errors.ts'`,
      want: `1: imports collector/errors.ts, ${exporters}`,
    },
    {
      file: 'exporters/a.ts',
      source: `import { type E } from '../collector/errors.ts'`,
      want: `1: imports collector/errors.ts, ${exporters}`,
    },
    {
      file: 'exporters/a.ts',
      source: `import type { W } from '../collector/kernel/wire.ts'`,
      want: `1: imports the types of collector/kernel/wire.ts, ${exporters}`,
    },
    {
      file: 'exporters/a.ts',
      source: `export * from '../native/index.ts'`,
      want: `1: imports native/index.ts, ${exporters}`,
    },
    {
      file: 'exporters/a.ts',
      source: `await ${'import'}('../native/index.ts')`,
      want: `1: imports native/index.ts, ${exporters}`,
    },
    { file: 'collector/a.ts', source: `import { r } from '../native/ring.ts'`, want: collector },
    { file: 'collector/a.ts', source: `import { r } from '../native/types.ts'`, want: collector },
    { file: 'collector/a.ts', source: `import { f } from '../exporters/sinks/file/exporter.ts'`, want: collector },
    { file: 'collector/a.ts', source: `import type { F } from '../test/support/f.ts'`, want: collector },
    {
      file: 'collector/a.ts',
      source: `import p from '../package.json'`,
      want: '1: imports "../package.json", which is in no room',
    },
    {
      file: 'collector/a.ts',
      source: `import { a } from '../config/a.ts'\nimport { b } from '../native/index.ts'\nimport { c } from '../exporters/index.ts'`,
      want: '3: sees config, native and exporters, but only collector/agent.ts may',
    },
  ]
  for (const { file, source, want } of rows) {
    const got = complaints(file, source)
    assert.equal(got.length, 1, `${source}: ${got.join(' | ')}`)
    if (typeof want === 'string') assert.equal(got[0], want)
    else assert.match(got[0] ?? '', want)
  }
})

test('check-imports: reports a file that does not exist', () => {
  const got = complaints('config/a.ts', `import { x } from './b'`, (target) => target === 'config/b.ts')
  assert.deepEqual(got, ['1: cannot find "./b": expected a file, named with its extension'])
})

test('check-imports: finds every form of import and nothing else', () => {
  const rows = [
    { source: `import a from './a.ts'`, want: ['1 ./a.ts'] },
    { source: `import {\n  a,\n  b as c,\n} from './a.ts'`, want: ['4 ./a.ts'] },
    { source: `import type { A } from './a.ts'`, want: ['1 ./a.ts type'] },
    { source: `import type from './a.ts'`, want: ['1 ./a.ts'] },
    { source: `import type, { b } from './a.ts'`, want: ['1 ./a.ts'] },
    { source: `import * as a from "./a.ts"`, want: ['1 ./a.ts'] },
    { source: `export { a } from './a.ts'`, want: ['1 ./a.ts'] },
    { source: `const a = await ${'import'}(\n'./a.ts')`, want: ['1 ./a.ts'] },
    { source: `export const n = 1\nimport type { A } from './a.ts'`, want: ['2 ./a.ts type'] },
    { source: `export function f(): void {}\nexport type { A } from './a.ts'`, want: ['2 ./a.ts type'] },
    { source: `export default './a.ts'`, want: [] },
    { source: `export const a = './a.ts'`, want: [] },
    { source: `/**\n * import { a } from './a.ts'\n */\n// import './b.ts'`, want: [] },
    { source: `const importer = x('./a.ts')`, want: [] },
    { source: `import a from 'node:fs'`, want: [] },
  ]
  for (const { source, want } of rows) {
    const got = importsOf(source).map(
      ({ line, specifier, typeOnly }) => `${line} ${specifier}${typeOnly ? ' type' : ''}`,
    )
    assert.deepEqual(got, want, source)
  }
})

test('check-imports: exits with 1 and prints file:line for a tree with an offence, with 0 for one without', () => {
  const root = mkdtempSync(path.join(tmpdir(), 'ktrail-imports-'))
  try {
    const script = path.join(import.meta.dirname, '../../support/check-imports.ts')
    const run = (): { status: number | null; stderr: string } =>
      spawnSync(process.execPath, [script, root], { encoding: 'utf8' })
    assert.equal(run().status, 1, 'a tree without files is an error of the caller')
    mkdirSync(path.join(root, 'config/deep'), { recursive: true })
    mkdirSync(path.join(root, 'native/build'), { recursive: true })
    writeFileSync(path.join(root, 'native/build/gone.ts'), `import '../../config/deep/a.ts'`)
    writeFileSync(path.join(root, 'config/deep/a.ts'), `export const a = 1\n`)
    assert.deepEqual([run().status, run().stderr], [0, ''])
    writeFileSync(path.join(root, 'config/deep/b.ts'), `import '../../native/build/gone.ts'\n`)
    assert.deepEqual(
      [run().status, run().stderr],
      [1, 'config/deep/b.ts:1: imports native/build/gone.ts, but config imports nothing of ours\n'],
    )
  } finally {
    rmSync(root, { recursive: true })
  }
})
