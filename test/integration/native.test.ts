import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { release } from 'node:os'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import v8 from 'node:v8'
import vm from 'node:vm'
import { Worker } from 'node:worker_threads'

import { closed, kernelFunctions, kernelSymbols, openRing } from '../../native/index.ts'
import { keepStatistics } from '../support/measure/statistics.ts'
import type { NativeError } from '../../native/index.ts'
import {
  SYMBOL,
  added,
  bytesOf,
  cannotAttach,
  compileFixture,
  descriptors,
  fails,
  hit,
  noMulti,
  openFixture,
  programFor,
  programIds,
  rejects,
  sumOf,
  until,
} from './native-fixture.ts'
import type { Kind } from './native-fixture.ts'

const holder = fileURLToPath(new URL('native-holder.ts', import.meta.url))
const skip = cannotAttach()
if (skip !== false) console.log(`native: skipped: ${skip}`)
const path = skip === false ? compileFixture() : ''
const multiMissing = skip === false ? await noMulti(path) : false
if (multiMissing !== false) console.log(`native: multi kinds skipped: ${multiMissing}`)
const [major = 0, minor = 0] = release().split('.').map(Number)
const atLeast = (wantMajor: number, wantMinor: number): boolean =>
  major > wantMajor || (major === wantMajor && minor >= wantMinor)

describe('native: links', { skip }, () => {
  const rows: ReadonlyArray<{ kind: Kind; program: number; records: number; since?: readonly [number, number] }> = [
    { kind: 'kprobe.multi', program: 1, records: 5, since: [6, 12] },
    { kind: 'kretprobe.multi', program: 2, records: 5, since: [6, 12] },
    { kind: 'kprobe.session', program: 3, records: 10, since: [6, 10] },
    { kind: 'kprobe', program: 4, records: 5 },
    { kind: 'kretprobe', program: 5, records: 5 },
    { kind: 'fentry', program: 9, records: 5 },
    { kind: 'fexit', program: 6, records: 5 },
  ]
  for (const { kind, program, records, since } of rows) {
    it(`${kind}: runs at each call while attached, and not after close`, async () => {
      using object = await openFixture(path, kind)
      using ring = openRing(object.map('ring'))
      const name = programFor(kind)[0]?.name ?? ''
      const symbols = kind === 'fentry' || kind === 'fexit' ? undefined : [SYMBOL]
      if (since && !atLeast(...since) && (multiMissing !== false || kind === 'kprobe.session')) {
        await rejects(object.attach(name, symbols), 'UNSUPPORTED', /this kernel has no k(ret)?probe\.(multi|session): /)
        return
      }
      const link = await object.attach(name, symbols)
      assert.equal(link.kind, kind)
      hit(5)
      const chunk = Buffer.alloc(1 << 17)
      assert.equal(ring.read(chunk), records * 32)
      assert.equal(chunk.readUInt32LE(4), program)
      assert.equal(link.stats().missed, 0n)
      const { id, program: number } = link.identity()
      assert.ok(id > 0)
      // Perf events are links since 5.15.
      assert.equal(programIds().has(number), atLeast(5, 15) || !/^k(ret)?probe$/.test(kind))
      link.close()
      link.close()
      await closed()
      hit()
      assert.equal(ring.available(), 0)
      fails(() => link.stats(), 'CLOSED', /link of program "handle_/)
    })
  }

  it('tp_btf: runs at the tracepoint', async () => {
    const child = spawn(process.execPath, [holder, path, 'hit', '1'], { stdio: ['pipe', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    using object = await openFixture(path, 'tp_btf', { tgid: child.pid ?? 0 })
    using counts = object.map('counts')
    const link = await object.attach('handle_tp')
    assert.equal(link.kind, 'tp_btf')
    assert.equal(sumOf(counts, 0), 0)
    child.stdin.write('go')
    await once(child, 'exit')
    await until('every thread of the child to exit', () => sumOf(counts, 0) > 1)
    link.close()
  })

  it('run: runs in this thread, with a number, and returns what the program does', async () => {
    using object = await openFixture(path, 'run')
    using counts = object.map('counts')
    assert.equal(object.run('handle_run', 41), 42)
    assert.equal(sumOf(counts, 0), 1)
    fails(() => object.run('handle_tp', 1), 'NO_PROGRAM', /program "handle_tp" of .* was not loaded/)
    fails(() => object.run('handle_run', -1), 'BAD_ARGUMENT', /argument of program "handle_run"/)
    await rejects(object.attach('handle_run', [SYMBOL]), 'BAD_ARGUMENT', /expected a kind that is attached, got run/)
    using other = await openFixture(path, 'kprobe')
    fails(() => other.run('handle_kprobe', 1), 'BAD_ARGUMENT', /expected kind run, got kprobe/)
  })

  it('a link stays attached when its object is closed, until it is closed itself', async () => {
    const object = await openFixture(path, 'kprobe')
    using counts = object.map('counts')
    const link = await object.attach('handle_kprobe', [SYMBOL])
    object.close()
    await closed()
    hit(2)
    assert.equal(sumOf(counts, 0), 2)
    link.close()
    await closed()
    hit()
    assert.equal(sumOf(counts, 0), 2)
  })

  it('stats: counts runs and their time while enabled', async () => {
    using object = await openFixture(path, 'kprobe')
    using link = await object.attach('handle_kprobe', [SYMBOL])
    {
      using stats = keepStatistics()
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
  const recursing: ReadonlyArray<{ kind: Kind; since: readonly [number, number] }> = [
    { kind: 'kprobe.multi', since: [6, 12] },
    { kind: 'kprobe', since: [6, 12] },
  ]
  for (const { kind, since } of recursing) {
    it(
      `stats: ${kind} reports the runs that the kernel skipped`,
      { skip: !atLeast(...since) && 'needs 6.7' },
      async () => {
        using object = await openFixture(path, kind, { constants: { wakeup: bytesOf(2, 8) } })
        const name = programFor(kind)[0]?.name ?? ''
        const links = kind === 'kprobe.multi' ? [[SYMBOL, inner]] : [[SYMBOL], [inner]]
        const attached = await Promise.all(links.map((symbols) => object.attach(name, symbols)))
        hit(10)
        const missed = attached.map((link) => link.stats().missed)
        for (const link of attached) link.close()
        assert.ok(
          missed.some((count) => count >= 10n),
          `missed ${missed.join(' and ')} of 10`,
        )
      },
    )
  }

  const bad: ReadonlyArray<{
    name: string
    kind: Kind
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
      message: /"rename_lock": .*does not allow tracing/,
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
      message: /"rename_lock": .*does not allow tracing/,
    },
    {
      name: 'kprobe on two functions',
      kind: 'kprobe',
      symbols: [SYMBOL, SYMBOL],
      code: 'BAD_ARGUMENT',
      message: /exactly one for kind kprobe, got 2/,
    },
    {
      name: 'fexit on another target than loaded',
      kind: 'fexit',
      symbols: ['vfs_read'],
      code: 'BAD_ARGUMENT',
      message: /target was set at load/,
    },
  ]
  for (const { name, kind, symbols, code, message } of bad) {
    it(`refuses ${name}`, { skip: kind === 'kprobe.multi' && multiMissing }, async () => {
      using object = await openFixture(path, kind)
      await rejects(object.attach(programFor(kind)[0]?.name ?? '', symbols), code, message)
    })
  }
})

/** Opens one of each and drops the references. */
async function abandon(): Promise<void> {
  const object = await openFixture(path, 'kprobe')
  openRing(object.map('ring'))
  await object.attach('handle_kprobe', [SYMBOL])
}

describe('native: lifetime', { skip }, () => {
  it('the garbage collector closes unreferenced objects', async () => {
    v8.setFlagsFromString('--expose-gc')
    const collect: unknown = vm.runInNewContext('gc')
    assert.ok(typeof collect === 'function')
    const before = descriptors()
    const programs = programIds().size
    for (let i = 0; i < 5; i++) await abandon()
    assert.ok(descriptors() > before)
    const gone = (): boolean => {
      Reflect.apply(collect, undefined, [])
      return descriptors() <= before && programIds().size <= programs
    }
    await until('descriptors and programs to go', gone)
  })

  it('a worker that ends leaves nothing open in its process', async () => {
    const before = descriptors()
    const worker = new Worker(holder, { argv: [path, 'hold'], stdout: true })
    await once(worker.stdout, 'data')
    assert.ok(descriptors() > before)
    hit(100) // the watch has a wakeup pending when the worker is torn down
    await worker.terminate()
    await until('descriptors to go', () => descriptors() <= before)
  })

  for (const mode of ['exit', 'SIGTERM', 'SIGKILL'] as const) {
    it(`no program stays loaded when the process ends by ${mode} with links attached`, async () => {
      const before = programIds()
      const child = spawn(process.execPath, [holder, path, mode === 'exit' ? 'exit' : 'hold'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const ended = once(child, 'exit')
      await once(child.stdout, 'data')
      const during = added(programIds(), before)
      if (mode !== 'exit') {
        assert.ok(during.size > 0, 'the program must be loaded while the process runs')
        child.kill(mode)
      }
      await ended
      await until('the programs to go', () => added(programIds(), before).size === 0)
    })
  }
})

describe('native: kernel', { skip }, () => {
  it('knows a function by BTF, and its address by kallsyms', async () => {
    const functions = await kernelFunctions(['vfs_read', 'no_such_fn'])
    assert.deepEqual([...functions.keys()], ['vfs_read'])
    assert.equal(functions.get('vfs_read')?.params[0]?.type, 'struct file *')
    const found = await kernelSymbols(['vfs_read', 'rename_lock', 'no_such_fn'])
    assert.deepEqual([...found.keys()].toSorted(), ['rename_lock', 'vfs_read'])
    assert.ok((found.get('vfs_read') ?? 0n) > 0xffff_0000_0000_0000n)
  })

  const noLookUp = atLeast(5, 16) ? false : 'a program cannot look names up before 5.16'
  it('finds addresses without a pass over /proc/kallsyms, which takes a second here', { skip: noLookUp }, async () => {
    const names = ['security_file_permission', 'rename_lock', 'no_such_fn']
    const program = `import { kernelSymbols } from '${new URL('../../native/index.ts', import.meta.url).href}'
      const found = await kernelSymbols(${JSON.stringify(names)})
      console.log([...found].map(([name, address]) => \`\${address.toString(16)} \${name}\`).join('\\n'))`
    const hide = 'mount --bind /dev/null /proc/kallsyms && exec "$0" --input-type=module --eval "$1"'
    const found = execFileSync('unshare', ['-m', 'sh', '-c', hide, process.execPath, program], { encoding: 'utf8' })
    const listed = readFileSync('/proc/kallsyms', 'utf8').matchAll(
      /^(\w+) \w (security_file_permission|rename_lock)$/gm,
    )
    assert.deepEqual(
      found.trim().split('\n').toSorted(),
      [...listed].map(([, address, name]) => `${address} ${name}`).toSorted(),
    )
  })
})
