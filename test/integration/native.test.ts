import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { release } from 'node:os'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import v8 from 'node:v8'
import vm from 'node:vm'
import { Worker } from 'node:worker_threads'

import { NativeError, enableStats, kernelFunction, kernelSymbols, openObject, openRing } from '../../native/index.ts'
import type { AttachKind, BpfMap, ObjectOptions } from '../../native/types.ts'
import {
  SYMBOL,
  added,
  bytesOf,
  cannotAttach,
  compileFixture,
  descriptors,
  hit,
  noMulti,
  openFixture,
  programFor,
  programIds,
  sumOf,
  until,
} from './native-fixture.ts'

const holder = fileURLToPath(new URL('native-holder.ts', import.meta.url))
const skip = cannotAttach()
if (skip !== false) console.log(`native: skipped: ${skip}`)
const path = skip === false ? compileFixture() : ''
const multiMissing = skip === false ? noMulti(path) : false
if (multiMissing !== false) console.log(`native: multi kinds skipped: ${multiMissing}`)
const [major = 0, minor = 0] = release().split('.').map(Number)
const atLeast = (wantMajor: number, wantMinor: number): boolean =>
  major > wantMajor || (major === wantMajor && minor >= wantMinor)

function fails(action: () => unknown, code: NativeError['code'], message: RegExp): NativeError {
  try {
    action()
  } catch (error) {
    if (!(error instanceof NativeError)) throw error
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
    return error
  }
  assert.fail(`expected ${code} ${message}`)
}

describe('native: links', { skip }, () => {
  const rows: ReadonlyArray<{ kind: AttachKind; program: number; records: number; since?: readonly [number, number] }> =
    [
      { kind: 'kprobe.multi', program: 1, records: 5, since: [6, 12] },
      { kind: 'kretprobe.multi', program: 2, records: 5, since: [6, 12] },
      { kind: 'kprobe.session', program: 3, records: 10, since: [6, 10] },
      { kind: 'kprobe', program: 4, records: 5 },
      { kind: 'kretprobe', program: 5, records: 5 },
      { kind: 'fexit', program: 6, records: 5 },
    ]
  for (const { kind, program, records, since } of rows) {
    it(`${kind}: runs at each call while it is attached, and not after close`, () => {
      using object = openFixture(path, kind)
      using ring = openRing(object.map('ring'))
      const name = programFor(kind)[0]?.name ?? ''
      const symbols = kind === 'fexit' ? undefined : [SYMBOL]
      if (since && !atLeast(...since) && (multiMissing !== false || kind === 'kprobe.session')) {
        fails(() => object.attach(name, symbols), 'UNSUPPORTED', /this kernel has no k(ret)?probe\.(multi|session): /)
        return
      }
      const link = object.attach(name, symbols)
      assert.equal(link.kind, kind)
      hit(5)
      const chunk = Buffer.alloc(1 << 17)
      assert.equal(ring.read(chunk), records * 32)
      assert.equal(chunk.readUInt32LE(4), program)
      assert.equal(link.stats().missed, 0n)
      link.close()
      link.close()
      hit()
      assert.equal(ring.available(), 0)
      fails(() => link.stats(), 'CLOSED', /link of program "handle_/)
    })
  }

  it('tp_btf: runs at the tracepoint', async () => {
    const child = spawn(process.execPath, [holder, path, 'hit', '1'], { stdio: ['pipe', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    using object = openFixture(path, 'tp_btf', { tgid: child.pid ?? 0 })
    using counts = object.map('counts')
    const link = object.attach('handle_tp')
    assert.equal(link.kind, 'tp_btf')
    assert.equal(sumOf(counts, 0), 0)
    child.stdin.write('go')
    await once(child, 'exit')
    await until('every thread of the child to exit', () => sumOf(counts, 0) > 1)
    link.close()
  })

  it('a link lives on when its object is closed, until it is closed itself', () => {
    const object = openFixture(path, 'kprobe')
    using counts = object.map('counts')
    const link = object.attach('handle_kprobe', [SYMBOL])
    object.close()
    hit(2)
    assert.equal(sumOf(counts, 0), 2)
    link.close()
    hit()
    assert.equal(sumOf(counts, 0), 2)
  })

  it('stats: counts runs and their time while enabled', () => {
    using object = openFixture(path, 'kprobe')
    using link = object.attach('handle_kprobe', [SYMBOL])
    {
      using stats = enableStats()
      assert.ok(stats)
      hit(10)
    }
    const { runs, runNs } = link.stats()
    assert.ok(runs === 10n && runNs > 0n, `${runs} runs in ${runNs} ns`)
    hit(10)
    assert.equal(link.stats().runs, runs)
  })

  // Called by the program itself, when its record wakes the reader: the kernel skips such a run and counts it.
  const inner = 'arch_irq_work_raise'
  const recursing: ReadonlyArray<{ kind: AttachKind; since: readonly [number, number] }> = [
    { kind: 'kprobe.multi', since: [6, 12] },
    { kind: 'kprobe', since: [6, 12] },
  ]
  for (const { kind, since } of recursing) {
    it(`stats: ${kind} reports the runs that the kernel skipped`, { skip: !atLeast(...since) && 'needs 6.7' }, () => {
      using object = openFixture(path, kind, { constants: { wakeup: bytesOf(2, 8) } })
      const name = programFor(kind)[0]?.name ?? ''
      const links = kind === 'kprobe.multi' ? [[SYMBOL, inner]] : [[SYMBOL], [inner]]
      const attached = links.map((symbols) => object.attach(name, symbols))
      hit(10)
      const missed = attached.map((link) => link.stats().missed)
      for (const link of attached) link.close()
      assert.ok(
        missed.some((count) => count >= 10n),
        `missed ${missed.join(' and ')} of 10`,
      )
    })
  }

  const bad: ReadonlyArray<{
    name: string
    kind: AttachKind
    symbols?: readonly string[]
    code: NativeError['code']
    message: RegExp
  }> = [
    { name: 'multi without symbols', kind: 'kprobe.multi', code: 'BAD_ARGUMENT', message: /expected one or more/ },
    {
      name: 'multi, one of two missing',
      kind: 'kprobe.multi',
      symbols: [SYMBOL, 'no_such_fn'],
      code: 'NO_SYMBOL',
      message: /kprobe\.multi to "no_such_fn": no such kernel symbol/,
    },
    {
      name: 'multi on data',
      kind: 'kprobe.multi',
      symbols: ['rename_lock'],
      code: 'NO_SYMBOL',
      message: /"rename_lock": .*traced/,
    },
    {
      name: 'kprobe on nothing',
      kind: 'kprobe',
      symbols: ['no_such_fn'],
      code: 'NO_SYMBOL',
      message: /kprobe to "no_such_fn": no such kernel symbol/,
    },
    {
      name: 'kprobe on data',
      kind: 'kretprobe',
      symbols: ['rename_lock'],
      code: 'NO_SYMBOL',
      message: /"rename_lock": .*traced/,
    },
    {
      name: 'kprobe on two',
      kind: 'kprobe',
      symbols: [SYMBOL, SYMBOL],
      code: 'BAD_ARGUMENT',
      message: /exactly one for kind kprobe, got 2/,
    },
    {
      name: 'fexit elsewhere',
      kind: 'fexit',
      symbols: ['vfs_read'],
      code: 'BAD_ARGUMENT',
      message: /target was set at load/,
    },
  ]
  for (const { name, kind, symbols, code, message } of bad) {
    it(`refuses ${name}`, { skip: kind === 'kprobe.multi' && multiMissing }, () => {
      using object = openFixture(path, kind)
      fails(() => object.attach(programFor(kind)[0]?.name ?? '', symbols), code, message)
    })
  }
})

describe('native: objects', { skip }, () => {
  const one = programFor('kprobe')
  const bad: ReadonlyArray<{ name: string; options: ObjectOptions; code: NativeError['code']; message: RegExp }> = [
    {
      name: 'an unknown program',
      options: { programs: [{ name: 'nope', kind: 'kprobe' }] },
      code: 'NO_PROGRAM',
      message: /no program "nope" in/,
    },
    {
      name: 'an unknown constant',
      options: { programs: one, constants: { nope: bytesOf(1) } },
      code: 'NO_CONSTANT',
      message: /constant "nope" of .*no such variable/,
    },
    {
      name: 'a constant of the wrong size',
      options: { programs: one, constants: { tag: bytesOf(1) } },
      code: 'BAD_ARGUMENT',
      message: /constant "tag" of .*expected 8 bytes, got 4/,
    },
    {
      name: 'a size for an unknown map',
      options: { programs: one, mapSizes: { nope: 1 } },
      code: 'NO_MAP',
      message: /no map "nope"/,
    },
    {
      name: 'a map that the kernel cannot make',
      options: { programs: one, mapSizes: { table: 4_000_000_000 } },
      code: 'MAP_FAILED',
      message: /cannot create map "table": /,
    },
    {
      name: 'fexit of no function',
      options: { programs: [{ name: 'handle_fexit', kind: 'fexit', target: 'no_such_fn' }] },
      code: 'NO_SYMBOL',
      message: /fexit "no_such_fn": no such function/,
    },
    {
      name: 'fexit without target',
      options: { programs: [{ name: 'handle_fexit', kind: 'fexit' }] },
      code: 'BAD_ARGUMENT',
      message: /program "handle_fexit": expected a target for kind fexit/,
    },
  ]
  for (const { name, options, code, message } of bad) {
    it(`refuses ${name}, and leaves no descriptor`, () => {
      const before = descriptors()
      fails(() => openObject(path, options), code, message)
      assert.equal(descriptors(), before)
    })
  }

  it('names the program and the instruction that the verifier refused, and keeps its log', () => {
    const programs: ObjectOptions['programs'] = [{ name: 'handle_refused', kind: 'kprobe' }]
    const error = fails(
      () => openObject(path, { programs }),
      'LOAD_REFUSED',
      /program "handle_refused": the verifier refused it at instruction \d+: \(79\) r0 = \*\(u64 \*\)\(r0 \+0\) \[return \*value;.*\]: R0 invalid mem access 'map_value_or_null'/,
    )
    assert.match(error.log, /BEGIN PROG LOAD LOG[\s\S]*processed \d+ insns/)
    assert.equal(error.cause, error.log)
    assert.equal(error.target, 'handle_refused')
  })

  it('says NOT_PERMITTED to a user without the right to load', () => {
    process.seteuid?.(65534)
    try {
      fails(() => openFixture(path, 'kprobe'), 'NOT_PERMITTED', /needs root/)
    } finally {
      process.seteuid?.(0)
    }
  })

  it('sets constants of every shape by name', () => {
    const tag = Buffer.from('0102030405060708', 'hex')
    const bytes = Buffer.from('0908070605', 'hex')
    using object = openFixture(path, 'kprobe', { constants: { tag, bytes } })
    using ring = openRing(object.map('ring'))
    using link = object.attach('handle_kprobe', [SYMBOL])
    hit()
    link.close()
    const chunk = Buffer.alloc(1 << 17)
    assert.ok(ring.read(chunk) > 0)
    assert.deepEqual(chunk.subarray(8, 21), Buffer.concat([tag, bytes]))
  })

  it('shares a map with a second object, and refuses one of another shape', () => {
    using first = openFixture(path, 'kprobe')
    using table = first.map('table')
    using ring = first.map('ring')
    const programs = programFor('kprobe')
    using second = openObject(path, { programs, sharedMaps: { table } })
    using same = second.map('table')
    table.update(bytesOf(7), bytesOf(70, 8))
    assert.deepEqual(same.lookup(bytesOf(7)), bytesOf(70, 8))
    fails(
      () => openObject(path, { programs, sharedMaps: { table: ring } }),
      'BAD_ARGUMENT',
      /expected hash of 4\/8 bytes, got ringbuf/,
    )
    fails(() => openObject(path, { programs, sharedMaps: { nope: table } }), 'NO_MAP', /no map "nope"/)
  })

  it('answers CLOSED after close, of object, map and ring', () => {
    const object = openFixture(path, 'kprobe')
    const map = object.map('table')
    const ring = openRing(object.map('ring'))
    fails(() => object.map('nope'), 'NO_MAP', /no map "nope"/)
    fails(() => object.attach('handle_multi', [SYMBOL]), 'NO_PROGRAM', /"handle_multi" of .* was not loaded/)
    for (const resource of [object, map, ring, object, map, ring]) resource.close()
    fails(() => object.map('table'), 'CLOSED', /object .* is closed/)
    fails(() => object.attach('handle_kprobe', [SYMBOL]), 'CLOSED', /is closed/)
    fails(() => map.lookup(bytesOf(1)), 'CLOSED', /map "table" is closed/)
    fails(() => map.entries(), 'CLOSED', /map "table" is closed/)
    fails(() => openRing(map), 'CLOSED', /map "table" is closed/)
    fails(() => ring.read(Buffer.alloc(1 << 17)), 'CLOSED', /ring "ring" is closed/)
    fails(() => ring.available(), 'CLOSED', /ring "ring" is closed/)
  })
})

function withMap(name: string, use: (map: BpfMap) => void): void {
  using object = openFixture(path, 'kprobe')
  using map = object.map(name)
  use(map)
}

describe('native: maps', { skip }, () => {
  it('looks up, updates, deletes, and says what was there', () => {
    withMap('table', (map) => {
      assert.deepEqual(map.info, { name: 'table', keySize: 4, valueSize: 8, maxEntries: 4096, perCpu: 1 })
      assert.equal(map.lookup(bytesOf(1)), undefined)
      assert.equal(map.update(bytesOf(1), bytesOf(10, 8)), true)
      assert.equal(map.update(bytesOf(1), bytesOf(11, 8), true), false)
      assert.deepEqual(map.lookup(bytesOf(1)), bytesOf(10, 8))
      assert.equal(map.delete(bytesOf(1)), true)
      assert.equal(map.delete(bytesOf(1)), false)
    })
  })

  it('hands over all entries of a full hash and refuses one more', () => {
    withMap('table', (map) => {
      const keys = Buffer.alloc(4096 * 4)
      const values = Buffer.alloc(4096 * 8)
      for (let i = 0; i < 4096; i++) {
        keys.writeUInt32LE(i, i * 4)
        values.writeUInt32LE(i * 3, i * 8)
      }
      assert.deepEqual(map.entries(), [])
      map.updateBatch(keys, values, 4096)
      const entries = map.entries()
      assert.equal(entries.length, 4096)
      for (const [key, value] of entries) assert.equal(value.readUInt32LE(), key.readUInt32LE() * 3)
      assert.equal(new Set(entries.map(([key]) => key.readUInt32LE())).size, 4096)
      fails(() => map.update(bytesOf(5000), bytesOf(0, 8)), 'MAP_FAILED', /"table".*all of its 4096 entries are taken/)
    })
  })

  it('hands over the entries of a prefix trie', () => {
    withMap('trie', (map) => {
      const keys = ['20000000c0a80001', '10000000c0a80000'].map((hex) => Buffer.from(hex, 'hex'))
      map.updateBatch(Buffer.concat(keys), Buffer.concat([bytesOf(1), bytesOf(2)]), 2)
      assert.deepEqual(
        new Map(map.entries().map(([key, value]) => [key.toString('hex'), value.readUInt32LE()])),
        new Map([
          ['20000000c0a80001', 1],
          ['10000000c0a80000', 2],
        ]),
      )
    })
  })

  it('returns one value for each CPU, padded to 8, of a per-CPU map', () => {
    withMap('counts', (map) => {
      const value = Buffer.alloc(map.info.perCpu * 8, 1)
      assert.equal(map.update(bytesOf(1), value), true)
      assert.deepEqual(map.lookup(bytesOf(1)), value)
      assert.deepEqual(
        map.entries().map(([key, each]) => [key.readUInt32LE(), each.length]),
        [
          [0, value.length],
          [1, value.length],
        ],
      )
      fails(
        () => map.update(bytesOf(1), Buffer.alloc(value.length + 8)),
        'BAD_ARGUMENT',
        /value of map "counts": expected \d+ bytes/,
      )
    })
  })

  it('refuses keys, values and batches of the wrong size', () => {
    withMap('table', (map) => {
      fails(() => map.lookup(bytesOf(1, 8)), 'BAD_ARGUMENT', /lookup: key of map "table": expected 4 bytes, got 8/)
      fails(() => map.update(bytesOf(1), bytesOf(1)), 'BAD_ARGUMENT', /value of map "table": expected 8 bytes, got 4/)
      fails(() => map.delete(Buffer.alloc(0)), 'BAD_ARGUMENT', /expected 4 bytes, got 0/)
      fails(
        () => map.updateBatch(bytesOf(1), bytesOf(1, 8), 2),
        'BAD_ARGUMENT',
        /keys of map "table": expected 8 bytes, got 4/,
      )
      fails(() => map.updateBatch(bytesOf(1), bytesOf(1, 8), 0.5), 'BAD_ARGUMENT', /count: expected a whole number/)
      fails(() => openRing(map), 'BAD_ARGUMENT', /map "table": expected a ring buffer/)
    })
  })
})

/** Opens one of each and keeps none. */
function abandon(): void {
  const object = openFixture(path, 'kprobe')
  openRing(object.map('ring'))
  object.attach('handle_kprobe', [SYMBOL])
}

describe('native: lifetime', { skip }, () => {
  it('the garbage collector closes what nobody holds', async () => {
    v8.setFlagsFromString('--expose-gc')
    const collect: unknown = vm.runInNewContext('gc')
    assert.ok(typeof collect === 'function')
    const before = descriptors()
    const programs = programIds().size
    for (let i = 0; i < 5; i++) abandon()
    assert.ok(descriptors() > before)
    const closed = (): boolean => {
      Reflect.apply(collect, undefined, [])
      return descriptors() <= before && programIds().size <= programs
    }
    await until('descriptors and programs to go', closed)
  })

  it('a worker that ends leaves nothing behind in its process', async () => {
    const before = descriptors()
    const worker = new Worker(holder, { argv: [path, 'hold'], stdout: true })
    await once(worker.stdout, 'data')
    assert.ok(descriptors() > before)
    hit(100) // the watch has a wakeup pending when the worker is torn down
    await worker.terminate()
    await until('descriptors to go', () => descriptors() <= before)
  })

  for (const mode of ['exit', 'SIGTERM', 'SIGKILL'] as const) {
    it(`no program stays when the process ends by ${mode} with links attached`, async () => {
      const before = programIds()
      const child = spawn(process.execPath, [holder, path, mode === 'exit' ? 'exit' : 'hold'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const ended = once(child, 'exit')
      await once(child.stdout, 'data')
      const during = added(programIds(), before)
      if (mode !== 'exit') {
        assert.ok(during.size > 0, 'the program is seen while the process lives')
        child.kill(mode)
      }
      await ended
      await until('the programs to go', () => added(programIds(), before).size === 0)
    })
  }
})

describe('native: kernel', { skip }, () => {
  it('knows a function by BTF, and its address by kallsyms', () => {
    assert.equal(kernelFunction('vfs_read')?.params[0]?.type, 'struct file *')
    const found = kernelSymbols(['vfs_read', 'rename_lock', 'no_such_fn'])
    assert.deepEqual([...found.keys()].toSorted(), ['rename_lock', 'vfs_read'])
    assert.ok((found.get('vfs_read') ?? 0n) > 0xffff_0000_0000_0000n)
  })
})
