/** Downloads have checksums in the tree, and there is a complete list of the included parts. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { wrongSum } from '../../support/kafka/jars.ts'
import { Folder } from '../exporters/support/folder.ts'

const ROOT = path.join(import.meta.dirname, '../../..')
const read = (file: string): string => readFileSync(path.join(ROOT, file), 'utf8')

interface Locked {
  readonly version: string
  readonly integrity?: string
  readonly dev?: boolean
}

const lock = JSON.parse(read('package-lock.json')) as { readonly packages: Readonly<Record<string, Locked>> }

test('supply: every npm package has a SHA-512, and none runs scripts when it is installed', () => {
  for (const [name, { integrity }] of Object.entries(lock.packages)) {
    if (name !== '') assert.match(integrity ?? '', /^sha512-[A-Za-z0-9+/]{86}==$/, name)
  }
  const installs = ['deploy/setup/build.sh', 'deploy/setup/node.sh'].flatMap(
    (file) => read(file).match(/npm (?:ci|install).*/g) ?? [],
  )
  assert.equal(installs.length, 2)
  for (const line of installs) assert.match(line, /^npm ci .*--ignore-scripts/)
})

test('supply: the downloaded Node has a SHA-512 for each processor', () => {
  assert.equal(read('deploy/setup/node.sh').match(/^ {4}integrity='sha512-[A-Za-z0-9+/]{86}=='$/gm)?.length, 2)
})

test('supply: jars that differ from their checksums, are unknown or are missing are reported', async () => {
  using folder = new Folder()
  using sums = new Folder()
  const sum = (text: string): string => createHash('sha512').update(text).digest('hex')
  const list = pathToFileURL(sums.at('sums'))
  writeFileSync(list, `${sum('a')}  a.jar\n${sum('b')}  b.jar\n`)
  writeFileSync(folder.at('a.jar'), 'a')
  assert.equal(await wrongSum(folder.path, list), 'b.jar is missing')
  writeFileSync(folder.at('b.jar'), 'b')
  assert.equal(await wrongSum(folder.path, list), undefined)
  writeFileSync(folder.at('c.jar'), 'c')
  assert.equal(await wrongSum(folder.path, list), `c.jar has the checksum ${sum('c')}, expected no such file`)
  writeFileSync(folder.at('b.jar'), 'x')
  assert.equal(await wrongSum(folder.path, list), `b.jar has the checksum ${sum('x')}, expected ${sum('b')}`)
})

interface Component {
  readonly name: string
  readonly version: string
  readonly purl: string
  readonly hashes?: ReadonlyArray<{ readonly alg: string; readonly content: string }>
}

test('supply: the list of parts has every package of the agent, Node, and the libraries of the addon', () => {
  const list = (): string =>
    execFileSync(process.execPath, [path.join(ROOT, 'deploy/setup/sbom.ts')], { encoding: 'utf8' })
  const text = list()
  assert.equal(list(), text)
  const sbom = JSON.parse(text) as { bomFormat: string; specVersion: string; components: Component[] }
  assert.deepEqual([sbom.bomFormat, sbom.specVersion], ['CycloneDX', '1.5'])
  const known = new Map(sbom.components.map((component) => [component.purl, component]))
  assert.equal(known.size, sbom.components.length)
  const runtime = Object.entries(lock.packages).filter(([name, { dev }]) => name !== '' && dev !== true)
  assert.ok(runtime.length > 20)
  for (const [place, { version, integrity = '' }] of runtime) {
    const name = place.slice(place.lastIndexOf('node_modules/') + 13)
    const found = known.get(`pkg:npm/${name.replace('@', '%40')}@${version}`)
    const hex = Buffer.from(integrity.slice('sha512-'.length), 'base64').toString('hex')
    assert.deepEqual(found?.hashes, [{ alg: 'SHA-512', content: hex }], place)
  }
  assert.ok(known.has(`pkg:generic/node@${process.versions.node}`))
  assert.ok(!sbom.components.some(({ name }) => name === 'testcontainers'))
})
