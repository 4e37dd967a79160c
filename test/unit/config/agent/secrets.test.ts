/** No printed config and no message shows a secret, and secret files that other users can read are reported. */
import assert from 'node:assert/strict'
import { chmodSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { checkFile } from '../../../../config/agent/check.ts'
import { loadConfig } from '../../../../config/agent/load.ts'
import { printConfig } from '../../../../config/agent/print.ts'
import { Folder } from '../../exporters/support/folder.ts'

const KEYS: ReadonlyArray<readonly [keys: string, shown: RegExp]> = [
  ['type: npm:x, options: { token: hush }', /token: "\[redacted\]"/],
  ['type: npm:x, options: { token: "${env:HUSH}" }', /token: "\[redacted\]"/],
  ['type: npm:x, options: { pin: { Passwd: 4711 } }', /Passwd: "\[redacted\]"/],
  ['type: npm:x, options: { apiKey: hush, port: 5 }', /port: 5\b/],
  ['type: npm:x, options: { credentials: { user: hush, key: [hush] } }', /user: "\[redacted\]"/],
  ['type: npm:x, options: { headers: [hush] }', /- "\[redacted\]"/],
  ['type: npm:x, options: { url: "https://me:hush@h/p" }', /url: https:\/\/\[redacted\]@h\/p\n/],
  ['type: npm:x, options: { to: ["go to http://h?a=hush&hush now"] }', /h\?a=\[redacted\]&\[redacted\] now/],
  ['type: otlp, endpoint: "http://h/p?a=hush&b=hush&hush"', /h\/p\?a=\[redacted\]&b=\[redacted\]&\[redacted\]\n/],
  ['type: otlp, logs_endpoint: "http://h?hush"', /http:\/\/h\?\[redacted\]\n/],
  ['type: otlp, resource_attributes: { x-api-key: hush, team: a?b=c }', /team: a\?b=c\n/],
  ['type: otlp, headers: { x: hush }', /x: "\[redacted\]"/],
  ['type: kafka, brokers: [b:1], topic: t, sasl: { mechanism: plain, username: me, password: hush }', /username: me\n/],
]

/** Each is refused, and the message would quote the value. */
const BAD: readonly string[] = [
  'type: otlp, endpoint: "me:hush@h:4318"',
  'type: otlp, endpoint: "http://me:hu/sh@h"',
  'type: otlp, endpoint: "h:4318/?token=hush"',
  'type: otlp, endpoint: "http://h", logs_endpoint: "http://h/?token=hush"',
  'type: otlp, headers: "authorization: hush"',
  'type: otlp, resource_attributes: { token: [hush] }',
  'type: otlp, resource_attributes: hush',
  'type: npm:x, options: hush',
  'type: kafka, brokers: [b:1], topic: t, sasl: hush',
  'type: kafka, brokers: ["me:hush@b:1"], topic: t',
  'type: kafka, brokers: [b:1, "SASL://me:hu/sh@x@b:1"], topic: t',
  'type: kafka, brokers: "me:hush@b:1", topic: t',
]

describe('a config with secrets', () => {
  for (const [keys, shown] of KEYS) {
    it(`shows none in a printed config: ${keys}`, () => {
      const loaded = loadConfig(`exporters: { a: { ${keys} } }`, 'c.yaml', { HUSH: 'hush' })
      assert.ok('config' in loaded, JSON.stringify(loaded))
      for (const effective of [true, false]) {
        const printed = printConfig(loaded, { effective })
        assert.match(printed.replaceAll(/ # .*$/gm, ''), shown)
        assert.doesNotMatch(printed, /hush|4711/)
      }
    })
  }

  it('shows none of a key that looks in a message as another one does', () => {
    const long = 'k'.repeat(65)
    const options = `{ a.b: "\${file:/s}", a: { b: 1 }, ${long}1: "\${file:/s}", ${long}2: 1 }`
    const loaded = loadConfig(`exporters: { a: { type: npm:x, options: ${options} } }`, 'c.yaml', {}, () => 'hush')
    assert.ok('config' in loaded, JSON.stringify(loaded))
    assert.doesNotMatch(printConfig(loaded), /hush/)
  })

  it('shows no token of the server, in a printed config or a message', () => {
    const config = (token: string): ReturnType<typeof loadConfig> =>
      loadConfig(`server: { token: ${token} }\nexporters: { a: { type: stdout } }`, 'c.yaml', {}, () => 'hush\n')
    for (const token of ['hush', '"${file:/t}"']) {
      const loaded = config(token)
      assert.ok('config' in loaded)
      assert.equal(loaded.config.server.token, 'hush')
      for (const effective of [true, false]) {
        const printed = printConfig(loaded, { effective })
        assert.match(printed, /token: "\[redacted\]"/)
        assert.doesNotMatch(printed, /hush/)
      }
    }
    for (const token of ['hush hush', '[hush]', '"hush\\n"']) {
      const loaded = config(token)
      assert.ok('problems' in loaded)
      assert.match(JSON.stringify(loaded.problems), /server\.token.*not shown/)
      assert.doesNotMatch(JSON.stringify(loaded.problems), /hush/)
    }
  })

  for (const keys of BAD) {
    it(`shows none in a message: ${keys}`, () => {
      const loaded = loadConfig(`exporters: { a: { ${keys} } }`, 'c.yaml', {})
      assert.ok('problems' in loaded)
      assert.match(JSON.stringify(loaded.problems), /not shown|\[redacted\]/)
      assert.doesNotMatch(JSON.stringify(loaded.problems), /hu\/?sh/)
    })
  }
})

const openIn = (folder: Folder): string => `node_name: "\${file:${folder.at('name')}}"
exporters:
  o:
    type: otlp
    endpoint: https://o
    headers: { x: "\${file:${folder.at('name')}}" }
    header_files: { authorization: ${folder.at('header')} }
    tls: { key_file: ${folder.at('key')}, ca_file: ${folder.at('ca')}, cert_file: ${folder.at('crt')} }
  k: { type: kafka, brokers: [b:1], topic: t, sasl: { mechanism: plain, username: u, password_file: ${folder.at('pw')} } }
`

describe('files with secrets', () => {
  it('that every user may read are reported once each, except certificates', async () => {
    using folder = new Folder()
    const file = folder.at('c.yaml')
    writeFileSync(file, openIn(folder))
    for (const name of ['name', 'header', 'ca', 'crt', 'key', 'pw']) {
      writeFileSync(folder.at(name), 'hush')
      chmodSync(folder.at(name), name === 'header' ? 0o604 : 0o644)
    }
    const { problems, warnings } = await checkFile(file, {})
    assert.deepEqual(problems, [])
    const warning = (name: string, mode: string): string => {
      const path = JSON.stringify(folder.at(name))
      return `${path} holds a secret and every user of this host can read it (mode ${mode}): chmod o-rwx ${path}`
    }
    assert.deepEqual(
      warnings.map(({ line, col, message }) => `${line}:${col}: ${message}`),
      [
        `1:12: node_name: ${warning('name', '0644')}`,
        `7:36: exporters.o.header_files.authorization: ${warning('header', '0604')}`,
        `8:22: exporters.o.tls.key_file: ${warning('key', '0644')}`,
        `9:101: exporters.k.sasl.password_file: ${warning('pw', '0644')}`,
      ],
    )
    for (const name of ['name', 'header', 'key', 'pw']) chmodSync(folder.at(name), 0o640)
    const again = await checkFile(file, {})
    assert.deepEqual([again.problems, again.warnings], [[], []])
  })

  it('that do not exist cause a warning each, also certificates', async () => {
    using folder = new Folder()
    const file = folder.at('c.yaml')
    writeFileSync(folder.at('name'), 'hush', { mode: 0o600 })
    writeFileSync(file, openIn(folder))
    const { problems, warnings } = await checkFile(file, {})
    const missing = (name: string): string =>
      `expected a file, got ${JSON.stringify(folder.at(name))}: no such file; create it before the agent starts`
    assert.deepEqual(
      warnings.map(({ line, col, message }) => `${line}:${col}: ${message}`),
      [
        `7:36: exporters.o.header_files.authorization: ${missing('header')}`,
        `8:22: exporters.o.tls.key_file: ${missing('key')}`,
        `8:${37 + folder.path.length}: exporters.o.tls.ca_file: ${missing('ca')}`,
        `8:${53 + 2 * folder.path.length}: exporters.o.tls.cert_file: ${missing('crt')}`,
        `9:101: exporters.k.sasl.password_file: ${missing('pw')}`,
      ],
    )
    assert.deepEqual(problems, [])
  })
})
