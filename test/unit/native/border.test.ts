import assert from 'node:assert/strict'
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'

import * as native from '../../../native/index.ts'

const room = fileURLToPath(new URL('../../../native/', import.meta.url))
const skip = existsSync(join(room, 'build/Release/ktrail.node')) ? false : 'the addon is not built: run make build'
if (skip !== false) console.log(`native border: skipped: ${skip}`)

/** Calls with arguments that the types do not allow. */
function call(
  name: 'openObject' | 'openRing' | 'watchRing' | 'kernelPreempts' | 'kernelFunctions' | 'kernelSymbols',
  args: unknown[],
): unknown {
  return Reflect.apply(native[name], undefined, args)
}

function programs(spec: unknown): unknown[] {
  return ['x.o', { programs: [spec] }]
}

describe('native: argument checks', { skip }, () => {
  const rows: ReadonlyArray<{ name: Parameters<typeof call>[0]; args: unknown[]; want: RegExp }> = [
    { name: 'openObject', args: [], want: /path: expected a string, got undefined/ },
    { name: 'openObject', args: ['', {}], want: /path: expected a non-empty string/ },
    { name: 'openObject', args: ['a\0b', {}], want: /path: expected a string without NUL/ },
    { name: 'openObject', args: ['x.o'], want: /options: expected an object, got undefined/ },
    { name: 'openObject', args: ['x.o', {}], want: /programs: expected an array, got undefined/ },
    {
      name: 'openObject',
      args: programs(null),
      want: /programs\[0\]: expected an object with name and kind, got null/,
    },
    { name: 'openObject', args: programs({}), want: /programs\[0\]\.name: expected a string/ },
    { name: 'openObject', args: programs({ name: 'p' }), want: /programs\[0\]\.kind: expected a string/ },
    {
      name: 'openObject',
      args: programs({ name: 'p', kind: 'uprobe' }),
      want: /kind: expected one of kprobe\.multi, .*got "uprobe"/,
    },
    {
      name: 'openObject',
      args: programs({ name: 'p', kind: 'fexit', target: 7 }),
      want: /target: expected a string, got 7/,
    },
    {
      name: 'openObject',
      args: programs({ name: 'p', kind: 'kprobe', target: 'f' }),
      want: /target: expected none for kind kprobe/,
    },
    {
      name: 'openObject',
      args: [
        'x.o',
        {
          programs: [
            { name: 'p', kind: 'kprobe' },
            { name: 'p', kind: 'kprobe' },
          ],
        },
      ],
      want: /programs\[1\]\.name: expected each program once, got "p" again/,
    },
    {
      name: 'openObject',
      args: ['x.o', { programs: [], constants: [] }],
      want: /constants: expected an object by name, got an array/,
    },
    {
      name: 'openObject',
      args: ['x.o', { programs: [], constants: { c: 1 } }],
      want: /constants\.c: expected a Uint8Array, got 1/,
    },
    {
      name: 'openObject',
      args: ['x.o', { programs: [], constants: { c: new Uint16Array(1) } }],
      want: /constants\.c: expected a Uint8Array/,
    },
    {
      name: 'openObject',
      args: ['x.o', { programs: [], sharedMaps: { m: {} } }],
      want: /sharedMaps\.m: expected a BpfMap, got an object/,
    },
    {
      name: 'openObject',
      args: ['x.o', { programs: [], mapSizes: { m: 0 } }],
      want: /mapSizes\.m: expected a whole number from 1 to 4294967295, got 0/,
    },
    {
      name: 'openObject',
      args: ['x.o', { programs: [], mapSizes: { m: Number.NaN } }],
      want: /mapSizes\.m: expected a whole number/,
    },
    {
      name: 'openObject',
      args: ['x.o', { programs: [], valueSizes: { m: 0 } }],
      want: /valueSizes\.m: expected a whole number from 1 to 4294967295, got 0/,
    },
    {
      name: 'openObject',
      args: ['x.o', { programs: [], mapFlags: { m: -1 } }],
      want: /mapFlags\.m: expected a whole number from 0 to 4294967295, got -1/,
    },
    { name: 'openRing', args: [{}], want: /map: expected a BpfMap, got an object/ },
    { name: 'openRing', args: [new Proxy({}, {})], want: /map: expected a BpfMap/ },
    { name: 'watchRing', args: [null, () => undefined], want: /map: expected a BpfMap, got null/ },
    { name: 'kernelPreempts', args: ['no'], want: /yes: expected a boolean, got "no"/ },
    { name: 'kernelFunctions', args: [[Symbol('x')]], want: /names\[0\]: expected a string, got a symbol/ },
    { name: 'kernelSymbols', args: ['vfs_read'], want: /names: expected an array of strings, got "vfs_read"/ },
    { name: 'kernelSymbols', args: [['a', 1n]], want: /names\[1\]: expected a string, got a bigint/ },
  ]
  for (const { name, args, want } of rows) {
    it(`${name}: ${want.source}`, async () => {
      await assert.rejects(async () => call(name, args), { name: 'NativeError', code: 'BAD_ARGUMENT', message: want })
    })
  }

  it("passes on an exception of the caller's own getters", async () => {
    const mine = new Error('mine')
    const options = {
      get programs(): never {
        throw mine
      },
    }
    await assert.rejects(async () => call('openObject', ['x.o', options]), mine)
  })

  it('rejects with OPEN_FAILED for a file that is missing or not a BPF object', async () => {
    const text = fileURLToPath(import.meta.url)
    await assert.rejects(native.openObject('/nope.o', { programs: [] }), {
      code: 'OPEN_FAILED',
      errno: 2,
      message: /\/nope\.o: No such file or directory \(ENOENT\)/,
    })
    await assert.rejects(native.openObject(text, { programs: [] }), { code: 'OPEN_FAILED', target: text })
  })
})

describe('native: clocks and symbols', { skip }, () => {
  it('boot time plus offset is the wall-clock time', () => {
    const wall = Number((native.bootTime() + native.clockOffset()) / 1_000_000n)
    assert.ok(Math.abs(wall - Date.now()) < 1000, `${wall} and ${Date.now()}`)
    assert.ok(native.bootTime() > 0n)
  })

  it('finds the symbols that exist, and only those', async () => {
    assert.deepEqual([...(await native.kernelSymbols(['no_such_symbol', 'vfs_read'])).keys()], ['vfs_read'])
    assert.equal((await native.kernelSymbols([])).size, 0)
  })

  it('describes functions by BTF, or rejects with NO_BTF', async () => {
    if (!native.hasBtf()) {
      await assert.rejects(native.kernelFunctions(['vfs_read']), { code: 'NO_BTF' })
      return
    }
    const found = await native.kernelFunctions(['vfs_read', 'security_path_truncate', 'no_such_function'])
    const vfsRead = found.get('vfs_read')
    assert.deepEqual([vfsRead?.returns, vfsRead?.returnsBase], ['ssize_t', 'long'])
    assert.deepEqual(
      vfsRead?.params.map(({ name, type, base, sizeBytes }) => [name, type, base, sizeBytes]),
      [
        ['file', 'struct file *', 'struct file *', 8],
        ['buf', 'char *', 'char *', 8],
        ['count', 'size_t', 'unsigned long', 8],
        ['pos', 'loff_t *', 'long long *', 8],
      ],
    )
    assert.equal(found.get('security_path_truncate')?.params[0]?.type, 'const struct path *')
    assert.equal(found.size, 2)
    assert.ok((await native.kernelFunctionNames()).includes('vfs_read'))
  })
})

describe('native: a missing or foreign addon', () => {
  for (const { name, content, want } of [
    {
      name: 'missing',
      content: undefined,
      want: /ktrail\.node is missing: run make build in a checkout; installed by npm, ktrail needs the package @ktrail\/linux-\w+$/,
    },
    { name: 'no library', content: 'text', want: /cannot load .*ktrail\.node: .*; run make build$/s },
  ]) {
    it(`${name}: throws NOT_BUILT with the command to run`, async () => {
      const folder = mkdtempSync(join(tmpdir(), 'ktrail-native-'))
      try {
        writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
        mkdirSync(join(folder, 'native/build/Release'), { recursive: true })
        for (const file of ['built.ts', 'index.ts', 'errors.ts', 'load-log.ts', 'types.ts'])
          cpSync(join(room, file), join(folder, 'native', file))
        if (content !== undefined) writeFileSync(join(folder, 'native/build/Release/ktrail.node'), content)
        const copy: typeof native = await import(pathToFileURL(join(folder, 'native/index.ts')).href)
        assert.throws(() => copy.hasBtf(), { name: 'NativeError', code: 'NOT_BUILT', message: want })
      } finally {
        rmSync(folder, { recursive: true })
      }
    })
  }
})
