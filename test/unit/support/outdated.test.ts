/** Parts of a package that need a rebuild, by the answers of npm and apt. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { outdated } from '../../support/parts/outdated.ts'
import type { Sources } from '../../support/parts/outdated.ts'

const PARTS = [
  { name: 'node', version: '24.9.1', purl: 'pkg:generic/node@24.9.1' },
  { name: 'yaml', version: '2.9.1', purl: 'pkg:npm/yaml@2.9.1' },
  { name: 'libzstd1', version: '1.5.4-1', purl: 'pkg:deb/debian/libzstd1@1.5.4-1' },
  { name: 'libelf1', version: '0.188-2', purl: 'pkg:deb/debian/libelf1@0.188-2' },
]
const policy = (zstd: string): string =>
  [`libzstd1:`, `  Installed: 1.5.4-1`, `  Candidate: ${zstd}`, `  Version table:`, ` *** 1.5.4-1 500`, ``]
    .concat(`libelf1:`, `  Installed: 0.188-2`, `  Candidate: 0.188-2`, `  Version table:`, ``)
    .join('\n')

const CURRENT: Sources = {
  audit: () => '{"vulnerabilities":{}}',
  node: () => ['24.9.0', '24.9.1', '25.1.0', '24.10.0-rc.1', '22.30.0'],
  debian: () => policy('1.5.4-1'),
}

const fails = (): never => {
  throw new Error('no route\nto host')
}

const ROWS: ReadonlyArray<{ name: string; sources: Partial<Sources>; rebuild?: string[]; unchecked?: string[] }> = [
  { name: 'current parts', sources: {} },
  {
    name: 'a vulnerable package',
    sources: { audit: () => '{"vulnerabilities":{"yaml":{"severity":"high","range":"<2.9.2"}}}' },
    rebuild: ['yaml <2.9.2: high vulnerability'],
  },
  // Versions are numbers: 24.10 is newer than 24.9.
  {
    name: 'a newer Node',
    sources: { node: () => ['24.9.2', '24.10.0', '25.1.0'] },
    rebuild: ['node 24.9.1: 24.10.0 is newer'],
  },
  {
    name: 'a newer library',
    sources: { debian: () => policy('1.5.4-1+deb12u1') },
    rebuild: ['libzstd1 1.5.4-1: 1.5.4-1+deb12u1 is newer'],
  },
  { name: 'npm without audit', sources: { audit: fails }, unchecked: ['npm packages: no route'] },
  {
    name: 'an answer that is no audit',
    sources: { audit: () => '{"error":{}}' },
    unchecked: ['npm packages: expected vulnerabilities in the answer of npm audit, got none'],
  },
  {
    name: 'no release of the line',
    sources: { node: () => ['25.1.0'] },
    unchecked: ['Node: expected releases of Node 24.x, got none'],
  },
  {
    name: 'an unknown library',
    sources: { debian: () => '' },
    unchecked: ['libraries of Debian: apt-cache policy has no package libzstd1'],
  },
]

for (const { name, sources, rebuild = [], unchecked = [] } of ROWS) {
  test(`outdated parts: ${name}`, () => {
    assert.deepEqual(outdated(PARTS, { ...CURRENT, ...sources }), { rebuild, unchecked })
  })
}
