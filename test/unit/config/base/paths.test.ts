/** Paths in a config: their base folder, and reports of missing policies. */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, it } from 'node:test'
import { checkFile, parseConfigFile } from '../../../../config/agent/check.ts'
import { loadConfig } from '../../../../config/agent/load.ts'
import { asNobody } from '../../../support/other-user.ts'
import { Folder } from '../../exporters/support/folder.ts'

const ROOT = join(import.meta.dirname, '../../../..')

const CONFIG = `policies: [p, ../p, /abs//p, library:pci, ./library:pci]
procfs: proc
node_name: \${file:name}
exporters:
  f: { type: file, path: x/y.jsonl, spool: { dir: s }, dead_letter: { path: ./d } }
  o:
    type: otlp
    endpoint: https://o
    header_files: { authorization: h }
    tls: { ca_file: ca, cert_file: crt, key_file: key, server_name: o }
  k:
    type: kafka
    brokers: [b:1]
    topic: t
    tls: { ca_file: ca }
    sasl: { mechanism: plain, username: u, password_file: pw }
  n: { type: npm:x, options: { file: own } }
`

describe('paths in a config', () => {
  it('are relative to the directory in which the agent was started, for every key with a path', () => {
    const read: string[] = []
    const loaded = loadConfig(CONFIG, '/etc/k/c.yaml', {}, (path) => `${read.push(path)}`)
    assert.ok('config' in loaded, JSON.stringify(loaded))
    const { policies, procfs, exporters } = loaded.config
    const { f, o, k, n } = exporters
    assert.ok(f?.type === 'file' && o?.type === 'otlp' && k?.type === 'kafka' && n?.type === 'npm:x')
    assert.deepEqual(policies, [resolve('p'), resolve('../p'), '/abs//p', 'library:pci', resolve('library:pci')])
    assert.deepEqual(read, [resolve('name')])
    const started = (...paths: string[]): string[] => paths.map((path) => resolve(path))
    assert.deepEqual([procfs, f.path, f.spool?.dir, f.dead_letter?.path], started('proc', 'x/y.jsonl', 's', 'd'))
    assert.deepEqual(o.header_files, { authorization: resolve('h') })
    assert.deepEqual(o.tls, {
      ca_file: resolve('ca'),
      cert_file: resolve('crt'),
      key_file: resolve('key'),
      server_name: 'o',
      insecure_skip_verify: false,
    })
    assert.deepEqual([k.tls?.ca_file, k.sasl?.password_file], started('ca', 'pw'))
    // The meaning of a package's keys is up to the package.
    assert.deepEqual(n.options, { file: 'own' })
  })

  it("are relative to ktrail's own folder in the default config, wherever it is started", async () => {
    const before = process.cwd()
    process.chdir('/')
    try {
      const loaded = await parseConfigFile(join(ROOT, 'config/ktrail.yaml'), {})
      assert.deepEqual('config' in loaded && loaded.config.policies, ['library:default', join(ROOT, 'config/policies')])
      assert.deepEqual((await checkFile(join(ROOT, 'config/ktrail.yaml'), {})).problems, [])
    } finally {
      process.chdir(before)
    }
  })
})

describe('checkFile on a config', () => {
  const reported = async (folder: Folder, policies: string): Promise<string[]> => {
    const file = folder.at('c.yaml')
    writeFileSync(
      file,
      `policies: ${policies.replace(/[\w./]+/g, (path) => folder.at(path))}\nexporters: { s: { type: stdout } }\n`,
    )
    return (await checkFile(file, {})).problems.map(({ line, col, message }) => `${line}:${col}: ${message}`)
  }

  it('accepts existing policy paths, a file or a folder', async () => {
    using folder = new Folder()
    mkdirSync(folder.at('p'))
    writeFileSync(folder.at('q.yaml'), '')
    assert.deepEqual(await reported(folder, '[p, q.yaml]'), [])
  })

  it('reports each policy path that does not exist', async () => {
    using folder = new Folder()
    writeFileSync(folder.at('q.yaml'), '')
    const [first = '', second = '', ...others] = await reported(folder, '[none, q.yaml, q.yaml/x]')
    assert.equal(
      first,
      `1:12: policies[0]: expected a policy file or a folder of them, got "${folder.at('none')}": no such file`,
    )
    assert.match(second, /^1:\d+: policies\[2\]: expected .*: a part of the path is not a folder$/)
    assert.deepEqual(others, [])
  })

  it('reports nothing about a path that the user may not read', async () => {
    using folder = new Folder()
    mkdirSync(folder.at('closed/p'), { recursive: true })
    writeFileSync(folder.at('c.yaml'), '')
    chmodSync(folder.at('c.yaml'), 0o666)
    chmodSync(folder.path, 0o755)
    chmodSync(folder.at('closed'), 0)
    try {
      assert.deepEqual(await asNobody(() => reported(folder, '[closed/p]')), [])
    } finally {
      chmodSync(folder.at('closed'), 0o755)
    }
  })
})
