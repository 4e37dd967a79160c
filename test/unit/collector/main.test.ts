/** Exit codes of the process. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { Host } from './cli/support/spools.ts'

const MAIN = join(import.meta.dirname, '../../../collector/main.ts')

const rows: ReadonlyArray<readonly [what: string, made: string, code: number, message: string]> = [
  [
    'a package that refuses its options is an error in the config',
    `throw new Error('options.url: expected a URL, got nothing')`,
    78,
    'ktrail: exporters.mine: npm:pkg: options.url: expected a URL, got nothing\n',
  ],
  [
    'a package that is not an exporter is an error in the config',
    `return { get type() { throw new Error('unknown type') } }`,
    78,
    'ktrail: exporters.mine: npm:pkg: unknown type\n',
  ],
  [
    'a package that fails to start is not an error in the config',
    `return { type: 'x', encoding: 'json', async start() { throw new Error('no such host') }, async send() {}, async stop() {} }`,
    1,
    'ktrail: npm:pkg: cannot start: no such host\n',
  ],
]
for (const [what, made, code, message] of rows) {
  test(`main: ${what}: ${code}`, async () => {
    using host = new Host('  bus: { type: stdout, spool: { dir: F/spool } }\n  mine: { type: npm:pkg }')
    await host.fill('bus', 1)
    const folder = host.folder.at('node_modules/pkg')
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'package.json'), '{"name":"pkg","type":"module","exports":"./index.js"}')
    writeFileSync(join(folder, 'index.js'), `export const ktrail = 1; export default () => { ${made} }`)
    const args = ['--disable-warning=ExperimentalWarning', MAIN, 'spool', 'replay', 'bus', '--to', 'mine']
    const child = spawn(process.execPath, [...args, '--config', host.config], { stdio: ['ignore', 'inherit', 'pipe'] })
    const closed = new Promise<number | null>((resolve) => child.on('close', resolve))
    assert.equal(await text(child.stderr), message)
    assert.equal(await closed, code)
  })
}
