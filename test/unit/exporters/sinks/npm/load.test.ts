import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ExportError } from '../../../../../exporters/contract/errors.ts'
import type { Exporter } from '../../../../../exporters/contract/exporter.ts'
import { systemClock } from '../../../../../config/base/time/clock.ts'
import type { Clock } from '../../../../../config/base/time/clock.ts'
import { loadNpmExporter } from '../../../../../exporters/sinks/npm/load.ts'
import { FakeClock, until } from '../../support/fake-clock.ts'
import { batch, lines } from '../../support/lines.ts'
import { UserFolder } from './support.ts'

const NEVER = new AbortController().signal
/** The members of an exporter that accepts everything. */
const GOOD = `type: 'x', encoding: 'json', async start() {}, async send() { return { status: 'delivered' } }, async stop() {}`

function load(
  folder: UserFolder,
  name = 'pkg',
  options = {},
  warnings: string[] = [],
  clock: Clock = systemClock,
): Promise<Exporter> {
  const warn = (text: string): void => void warnings.push(text)
  const given = { configFile: folder.configFile, name: 'mine', nodeName: 'node-7', epoch: 'e1', warn }
  return loadNpmExporter({ type: `npm:${name}`, options }, given, clock)
}

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  assert.ok(error instanceof ExportError, String(error))
  assert.equal(error.code, 'UNUSABLE')
  return error.message
}

const ways: ReadonlyArray<readonly [name: string, source: string, type?: 'commonjs']> = [
  ['createExporter by name', `export const ktrail = 1; export const createExporter = () => ({ ${GOOD} })`],
  ['a default function', `export const ktrail = 1; export default () => ({ ${GOOD} })`],
  ['a promise', `export const ktrail = 1; export default async () => ({ ${GOOD} })`],
  ['a default object', `export default { ktrail: 1, createExporter: () => ({ ${GOOD} }) }`],
  [
    'module.exports',
    `const all = { ktrail: 1, createExporter: () => ({ ${GOOD} }) }; module.exports = all`,
    'commonjs',
  ],
  ['exports', `exports.ktrail = 1; exports.createExporter = () => ({ ${GOOD} })`, 'commonjs'],
  [
    'a class',
    `export const ktrail = 1; class X { type = 'x'; encoding = 'json'; async start() {} async send() { return { status: 'delivered' } } async stop() {} }; export default () => new X()`,
  ],
]
for (const [name, source, type] of ways) {
  test(`third-party: a package may provide its exporter by ${name}`, async () => {
    using folder = new UserFolder()
    folder.install('pkg', source, type)
    await using exporter = await load(folder)
    await exporter.start()
    assert.equal(exporter.type, 'npm:pkg')
    assert.equal(exporter.encoding, 'json')
    assert.equal(exporter.maxConcurrency, 1)
    assert.deepEqual(await exporter.send(batch(lines(0, 2)), NEVER), { status: 'delivered' })
  })
}

const exporterWith = (members: string): string =>
  `export const ktrail = 1; export default () => ({ ${GOOD}, ${members} })`
const bad: ReadonlyArray<readonly [name: string, source: string, want: RegExp]> = [
  [
    'without the mark "ktrail"',
    `export default () => ({ ${GOOD} })`,
    /not an exporter for ktrail: expected "export const ktrail = 1", got none$/,
  ],
  [
    'for a later interface',
    `export const ktrail = 2; export default () => ({ ${GOOD} })`,
    /uses interface 2, expected 1: install a newer ktrail$/,
  ],
  [
    'for an unknown interface',
    `export const ktrail = '1'; export default () => ({ ${GOOD} })`,
    /uses interface 1, expected 1: install another version of the package$/,
  ],
  [
    'without createExporter',
    `export const ktrail = 1; export const create = () => {}`,
    /expected "export function createExporter\(options, context\)", got create, ktrail$/,
  ],
  [
    'whose createExporter is no function',
    `export const ktrail = 1; export const createExporter = {}`,
    /expected "export function createExporter/,
  ],
  [
    'that gives nothing',
    `export const ktrail = 1; export default () => {}`,
    /createExporter: expected an exporter, got undefined$/,
  ],
  [
    'that gives a text',
    `export const ktrail = 1; export default () => 'x'`,
    /createExporter: expected an exporter, got x$/,
  ],
  ['without type', exporterWith(`type: ''`), /type: expected a name, got ""$/],
  [
    'without encoding',
    exporterWith(`encoding: undefined`),
    /encoding: expected one of json, compact, otlp, otlp_json, got nothing$/,
  ],
  ['of an unknown encoding', exporterWith(`encoding: 'xml'`), /encoding: expected one of .*, got "xml"$/],
  ['without start', exporterWith(`start: undefined`), /expected the methods start, send, stop, got none called start$/],
  ['without send and stop', exporterWith(`send: 1, stop: null`), /got none called send, stop$/],
  ['whose reopen is no function', exporterWith(`reopen: true`), /reopen: expected a function, got true$/],
  ['that takes none at once', exporterWith(`maxConcurrency: 0`), /maxConcurrency: expected 1 to 1024, got 0$/],
  [
    'that takes half a send at once',
    exporterWith(`maxConcurrency: 1.5`),
    /maxConcurrency: expected 1 to 1024, got 1.5$/,
  ],
  [
    'that refuses its options',
    `export const ktrail = 1; export default ({ url }) => { throw new Error('options.url: expected a URL, got ' + url) }`,
    /^npm:pkg: options.url: expected a URL, got here$/,
  ],
  [
    'that rejects its options later',
    `export const ktrail = 1; export default async () => { throw 'no' }`,
    /^npm:pkg: no$/,
  ],
  [
    'that throws nothing at all',
    `export const ktrail = 1; export default () => { throw undefined }`,
    /^npm:pkg: threw undefined, expected an Error$/,
  ],
  [
    'that throws a value that cannot be printed',
    `export const ktrail = 1; export default () => { throw Object.create(null) }`,
    /^npm:pkg: threw something that cannot be shown$/,
  ],
  [
    'whose exporter throws when it is looked at',
    `export const ktrail = 1; export default () => ({ get type() { throw new Error('do not look') } })`,
    /^npm:pkg: do not look$/,
  ],
  [
    'whose exporter throws when it is looked at again',
    `let looks = 0; export const ktrail = 1; export default () => ({ ${GOOD}, get encoding() { if (++looks > 1) throw new Error('once'); return 'json' } })`,
    /^npm:pkg: once$/,
  ],
  [
    'that throws when it is asked for its mark',
    `export default { get ktrail() { throw new Error('no mark') } }`,
    /^npm:pkg: no mark$/,
  ],
  ['with a slip', `export const ktrail = `, /cannot load the package: Unexpected end of input$/],
  ['that throws when it is loaded', `throw new Error('boom')`, /cannot load the package: boom$/],
  [
    'that lacks a package of its own',
    `import 'not-there'`,
    /cannot load the package: Cannot find package 'not-there' imported from .*node_modules\/pkg\/index.js$/,
  ],
]
for (const [name, source, want] of bad) {
  test(`third-party: a package ${name} is refused with a message`, async () => {
    using folder = new UserFolder()
    folder.install('pkg', source)
    const message = await refusal(load(folder, 'pkg', { url: 'here' }))
    assert.match(message, /^npm:pkg: /)
    assert.match(message, want)
  })
}

const endless: ReadonlyArray<readonly [step: string, source: string]> = [
  ['load', `export const ktrail = 1; globalThis.pkgCalled = true; await new Promise(() => {})`],
  [
    'make its exporter',
    `export const ktrail = 1; export default () => { globalThis.pkgCalled = true; return new Promise(() => {}) }`,
  ],
]
for (const [step, source] of endless) {
  test(`third-party: a package that hangs in "${step}" is given up after 10 s`, async () => {
    using folder = new UserFolder()
    folder.install('pkg', source)
    Reflect.deleteProperty(globalThis, 'pkgCalled')
    const clock = new FakeClock()
    const refused = assert.rejects(load(folder, 'pkg', {}, [], clock), {
      code: 'TIMEOUT',
      message: `npm:pkg: did not ${step} within 10 s: it must not wait for its sink; report it to the authors of the package`,
    })
    await until('the package is called', () => Reflect.get(globalThis, 'pkgCalled') === true)
    await clock.turn(10_000)
    await refused
  })
}

test('third-party: a package that is not installed is refused with the searched folders and the next step', async () => {
  using folder = new UserFolder()
  const message = await refusal(load(folder, 'nowhere'))
  assert.match(
    message,
    /^npm:nowhere: cannot find the package "nowhere": expected it in node_modules of ".*" or ".*", or of a folder above; install it: npm install --prefix \S+ nowhere$/,
  )
  assert.ok(message.includes(`--prefix ${folder.path} nowhere`))
})

test('third-party: a package without the mark is never called', async () => {
  using folder = new UserFolder()
  folder.install('pkg', `export default () => { globalThis.called = true }`)
  await refusal(load(folder))
  assert.equal(Reflect.get(globalThis, 'called'), undefined)
})

test('third-party: TypeScript inside node_modules is refused with the next step, and runs if it is linked', async () => {
  using folder = new UserFolder()
  const source = `export const ktrail: number = 1\nexport default () => ({ ${GOOD} })`
  folder.install('pkg', source, 'module', 'index.ts')
  assert.match(await refusal(load(folder)), /must contain JavaScript, or be installed as a link/)
  using other = new UserFolder()
  using home = new UserFolder()
  home.install('../pkg', source, 'module', 'index.ts')
  other.link('pkg', home.at('pkg'))
  assert.equal((await load(other)).type, 'npm:pkg')
})

test('third-party: a package with a scope, for import only, is found above the folder of the config', async () => {
  using folder = new UserFolder()
  folder.install('@me/pkg', `export const ktrail = 1; export default () => ({ ${GOOD} })`)
  const given = { configFile: folder.at('a/b/c.yaml'), name: 'm', nodeName: 'n', epoch: 'e', warn: () => {} }
  assert.equal((await loadNpmExporter({ type: 'npm:@me/pkg', options: {} }, given)).type, 'npm:@me/pkg')
})

test('third-party: the package next to the config is preferred to the one next to ktrail', async () => {
  using folder = new UserFolder()
  // zod is one of ktrail's own.
  assert.match(await refusal(load(folder, 'zod')), /not an exporter for ktrail/)
  folder.install('zod', `export const ktrail = 1; export default () => ({ ${GOOD} })`)
  assert.equal((await load(folder, 'zod')).type, 'npm:zod')
})

test('third-party: a package gets its options unchanged, names, epoch and the log', async () => {
  using folder = new UserFolder()
  const made = `async (options, { warn, fromLogRecordExporter, ...rest }) => {
    warn(JSON.stringify({ options, rest, adapter: typeof fromLogRecordExporter }))
    return { ${GOOD} }
  }`
  folder.install('pkg', `export const ktrail = 1; export default ${made}`)
  const warnings: string[] = []
  await load(folder, 'pkg', { a: [1, { b: null }], c: 'x' }, warnings)
  assert.deepEqual(JSON.parse(warnings[0] ?? ''), {
    options: { a: [1, { b: null }], c: 'x' },
    rest: { name: 'mine', nodeName: 'node-7', epoch: 'e1' },
    adapter: 'function',
  })
})
