import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { checkFile, configOrThrow, looksLikePolicy, parseConfigFile } from '../../../../config/agent/check.ts'
import { readSecret } from '../../../../config/agent/loading/substitute.ts'
import { asNobody } from '../../../support/other-user.ts'

const ROOT = join(import.meta.dirname, '../../../..')
let folder = ''

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ktrail-config-'))
})
after(() => rm(folder, { recursive: true }))

async function put(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, content)
  return path
}

async function messages(path: string): Promise<string[]> {
  const { problems } = await checkFile(path, {})
  return problems.map(({ file, line, col, message }) => {
    assert.equal(file, path)
    return `${line}:${col}: ${message}`
  })
}

describe('looksLikePolicy', () => {
  for (const text of [
    'apiVersion: x',
    '# c\nkind: x',
    '{"kind": "x"}',
    '{\n  "apiVersion": 1',
    'spec:\n  kprobes: []',
    'metadata:',
    '"kind": x',
    '\tkind: a',
  ]) {
    it(`is true for ${JSON.stringify(text)}`, () => assert.equal(looksLikePolicy(text), true))
  }
  for (const text of [
    '',
    'exporters: {}',
    '# kind: x',
    'exporters:\n  a:\n    spec: x',
    'exporters:\n  a:\n    resource_attributes:\n      kind: host',
    'kindly: x',
    'node_name: kind:',
    ' '.repeat(1_000_000),
  ]) {
    it(`is false for ${JSON.stringify(text.slice(0, 40))}`, () => assert.equal(looksLikePolicy(text), false))
  }
})

describe('checkFile', () => {
  it('finds no problem in the shipped files', async () => {
    assert.deepEqual(await messages(join(ROOT, 'config/ktrail.yaml')), [])
    assert.deepEqual(await messages(join(ROOT, 'config/policies/optional/file-monitoring.yaml')), [])
  })

  for (const { name, hooks, want } of [
    {
      name: 'reports that a call is optional, because the kernel is unknown',
      hooks: '[{call: sys_f}, {call: sys_g, ignore: {callNotFound: true}}]',
      want: ['4:33: call "sys_g" is optional: if a kernel lacks it, it is skipped, and the others are attached'],
    },
    {
      name: 'reports that a policy may be left without a hook',
      hooks: '[{call: sys_g, ignore: {callNotFound: true}}]',
      want: [
        '4:18: call "sys_g" is optional: if a kernel lacks it, it is skipped; the policy has no hook if none of its calls exists',
      ],
    },
    { name: 'reports nothing about required calls', hooks: '[{call: sys_f}]', want: [] },
  ]) {
    it(name, async () => {
      const head = 'apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: p}\n'
      const file = await put('optional.yaml', `${head}spec: {kprobes: ${hooks}}\n`)
      const { problems, warnings, notes } = await checkFile(file, {})
      assert.deepEqual([problems, warnings], [[], []])
      assert.deepEqual(
        notes.map(({ line, col, message }) => `${line}:${col}: ${message}`),
        want,
      )
    })
  }

  it('recognises the type of each file', async () => {
    assert.deepEqual(await messages(await put('p.yaml', 'kind: TracingPolicy\n')), [
      '1:1: apiVersion: missing; expected cilium.io/v1alpha1',
      '1:1: metadata: missing; expected a mapping with the name of the policy',
      '1:1: spec: missing; expected a mapping with the hooks of the policy',
    ])
    assert.deepEqual(await messages(await put('c.yaml', 'exporters: { a: { type: stdout } }\nnode: x\n')), [
      '2:1: node: unknown key "node"; expected one of node_name, policies, containers, kubernetes, server, exporters, heartbeat, state_dir, ring, attach, procfs, log and 9 others',
    ])
  })

  it('reports that a file does not exist', async () => {
    assert.deepEqual(await messages(join(folder, 'nowhere.yaml')), ['0:0: cannot read the file: no such file'])
  })

  it('reports that a file is a folder', async () => {
    const path = join(folder, 'folder')
    await mkdir(path)
    assert.deepEqual(await messages(path), ['0:0: cannot read the file: it is a folder; expected a regular file'])
  })

  it('reports that a file may not be read', async () => {
    const path = await put('closed.yaml', 'a: b')
    await chmod(path, 0)
    assert.deepEqual(await asNobody(() => messages(path)), [
      '0:0: cannot read the file: permission denied; let the user that runs ktrail read it',
    ])
  })

  it('refuses more than a megabyte, and an endless file', async () => {
    const large = await put('big.yaml', 'a'.repeat(1024 * 1024 + 1))
    assert.deepEqual(await messages(large), ['0:0: cannot read the file: it is larger than 1048576 bytes'])
    assert.deepEqual(await messages('/dev/zero'), [
      '0:0: cannot read the file: it is a device; expected a regular file',
    ])
  })

  for (const { name, bytes, want } of [
    { name: 'a byte of Latin-1', bytes: Buffer.from('a: b\nc: \xe9\n', 'latin1'), want: '2:4: byte 0xE9 at offset 8' },
    {
      name: 'a cut character at the end',
      bytes: Buffer.from([97, 58, 32, 0xe2, 0x82]),
      want: '1:4: byte 0xE2 at offset 3',
    },
    {
      name: 'a sequence that begins like U+FFFD',
      bytes: Buffer.from([97, 0xef, 0xbf, 0x41]),
      want: '1:2: byte 0xEF at offset 1',
    },
    {
      name: 'an error after a real U+FFFD',
      bytes: Buffer.from([0xef, 0xbf, 0xbd, 0xff]),
      want: '1:2: byte 0xFF at offset 3',
    },
    {
      name: 'an error after longer characters',
      bytes: Buffer.from('é📚\xff', 'utf8').subarray(0, 7),
      want: '1:4: byte 0xC3 at offset 6',
    },
    { name: 'UTF-16', bytes: Buffer.from('\ufeffa: b', 'utf16le'), want: '1:1: byte 0xFF at offset 0' },
  ]) {
    it(`refuses ${name} with its offset`, async () => {
      assert.deepEqual(await messages(await put('bytes.yaml', bytes)), [`${want} is not UTF-8: save the file as UTF-8`])
    })
  }
})

describe('configOrThrow', () => {
  it('returns the parsed value', async () => {
    const { config } = configOrThrow(await parseConfigFile(join(ROOT, 'config/ktrail.yaml'), {}))
    assert.deepEqual(Object.keys(config.exporters), ['screen'])
  })

  it('throws ConfigError with every problem', async () => {
    const path = await put('empty.yaml', '')
    const result = await parseConfigFile(path, {})
    assert.throws(() => configOrThrow(result), {
      name: 'ConfigError',
      code: 'CONFIG_INVALID',
      problems: 'problems' in result ? result.problems : [],
    })
  })
})

describe('readSecret', () => {
  it('reads a file whole, and no more than its bound', async () => {
    assert.equal(readSecret(await put('secret', 'pass\n')), 'pass\n')
    assert.equal(readSecret(await put('secret', 'x'.repeat(65_536))).length, 65_536)
    const large = await put('large', 'x'.repeat(65_537))
    assert.throws(() => readSecret(large), /larger than 65536 bytes/)
    assert.throws(() => readSecret('/dev/zero'), /it is a device; expected a regular file/)
    assert.throws(() => readSecret(join(folder, 'nowhere')), /ENOENT/)
  })
})
