/**
 * Writes the package.json of the npm packages, from the one of the checkout.
 *
 *   node deploy/package/manifests.ts MAIN-FOLDER PLATFORM-FOLDER…
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'

interface Manifest {
  readonly version: string
  readonly license: string
  readonly engines: Readonly<Record<string, string>>
  readonly dependencies: Readonly<Record<string, string>>
  readonly [key: string]: unknown
}

const [main = '', ...platforms] = process.argv.slice(2)
const own = JSON.parse(readFileSync('package.json', 'utf8')) as Manifest
const { version, license, engines, dependencies } = own
/** Addresses that a registry shows, and compares with the source of a provenance. npm would publish a package with a scope as a private one. */
const published = {
  homepage: own['homepage'],
  bugs: own['bugs'],
  repository: own['repository'],
  publishConfig: { access: 'public' },
}
/** node-addon-api is left out: only a build of the addon needs it. */
const { 'node-addon-api': _headers, ...needed } = dependencies
const nameOf = (platform: string): string => `@ktrail/${basename(platform)}`

const write = (folder: string, content: object): void =>
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(content, null, 2)}\n`)

write(main, {
  name: 'ktrail',
  version,
  description: own['description'],
  ...published,
  license,
  os: ['linux'],
  engines,
  type: 'module',
  bin: { ktrail: 'ktrail' },
  man: ['man/ktrail.1'],
  files: ['dist', 'ktrail', 'man', 'systemd', 'CHANGELOG.md'],
  exports: {
    '.': { types: './dist/exporters/sinks/npm/api.d.ts' },
    './exporter': { types: './dist/exporters/sinks/npm/api.d.ts' },
    './testing': { types: './dist/exporters/testing/index.d.ts', default: './dist/exporters/testing/index.js' },
    './package.json': './package.json',
  },
  dependencies: needed,
  optionalDependencies: Object.fromEntries(platforms.map((platform) => [nameOf(platform), version])),
})
for (const platform of platforms) {
  const [os, cpu] = basename(platform).split('-')
  write(platform, {
    name: nameOf(platform),
    version,
    description: 'Addon and BPF objects of ktrail for this platform; installed by the package ktrail',
    ...published,
    license: 'Apache-2.0 AND BSD-2-Clause AND LGPL-2.1-only AND LGPL-3.0-or-later AND BSD-3-Clause AND Zlib',
    os: [os],
    cpu: [cpu],
    libc: ['glibc'],
    engines,
  })
}
