/** Addresses of the kernel → functions, by a file like /proc/kallsyms. */
import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { KernelSymbols } from '../../../../../collector/enrich/stacks/kernel-symbols.ts'
import { Folder } from '../../../exporters/support/folder.ts'

const LINES = [
  'ffffffff81000000 T _stext',
  'ffffffff81000100 t do_it',
  'ffffffff81000100 t alias',
  'ffffffff81000180 D some_data',
  'ffffffff81000200 W weak',
  '0000000000012340 A percpu',
  'ffffffffc0000040 t in_module\t[other]',
  'ffffffffc0000000 t first_in_module\t[other]',
  'ffffffffc0100000 t bpf_prog_6deef7357e7b4530_x\t[bpf]',
]

interface Setup extends Disposable {
  readonly file: string
  readonly symbols: KernelSymbols
  readonly warnings: string[]
  modules: string
  now: number
}

function setup(lines: readonly string[]): Setup {
  const folder = new Folder()
  const file = folder.at('kallsyms')
  writeFileSync(file, `${lines.join('\n')}\n`)
  const warnings: string[] = []
  const made: Setup = {
    file,
    warnings,
    modules: 'a',
    now: 0,
    symbols: new KernelSymbols({
      file,
      modules: () => made.modules,
      warn: (message) => void warnings.push(message),
      nowMs: () => made.now,
    }),
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  }
  return made
}

const ROWS: ReadonlyArray<readonly [address: bigint, symbol: string, offset: number]> = [
  [0xffffffff81000000n, '_stext', 0],
  [0xffffffff810000ffn, '_stext', 255],
  [0xffffffff81000105n, 'do_it', 5],
  [0xffffffff81000190n, 'do_it', 0x90],
  [0xffffffff81000300n, 'weak', 0x100],
  [0xffffffff81010200n, '', 0],
  [0xffffffffc0000001n, 'first_in_module', 1],
  [0xffffffffc0000041n, 'in_module', 1],
  [0xffffffffc0100001n, '', 0],
  [0xffffffff80ffffffn, '', 0],
  [0n, '', 0],
  [0xffffffffffffffffn, '', 0],
]

test('kernel symbols: the function of an address', async () => {
  using at = setup(LINES)
  const addresses = ROWS.map(([address]) => address)
  const want = ROWS.map(([, symbol, offset]) => ({ symbol, offset }))
  assert.equal(at.symbols.remembered(addresses), undefined)
  assert.deepEqual(await at.symbols.find(addresses), want)
  assert.deepEqual(at.symbols.remembered(addresses), want)
  for (const [address, symbol, offset] of ROWS) {
    using fresh = setup(LINES)
    assert.deepEqual(await fresh.symbols.find([address, address]), [
      { symbol, offset },
      { symbol, offset },
    ])
  }
  assert.deepEqual(at.warnings, [])
})

test('kernel symbols: the file is read once, and again after a module came or went', async () => {
  using at = setup(LINES)
  await at.symbols.load()
  writeFileSync(at.file, 'ffffffff81000000 T moved\n')
  assert.deepEqual(await at.symbols.find([0xffffffff81000001n]), [{ symbol: '_stext', offset: 1 }])
  at.now += 10_000
  assert.notEqual(at.symbols.remembered([0xffffffff81000001n]), undefined, 'the same modules')
  at.modules = 'a b'
  assert.notEqual(at.symbols.remembered([0xffffffff81000001n]), undefined, 'not looked yet')
  at.now += 10_000
  assert.equal(at.symbols.remembered([0xffffffff81000001n]), undefined)
  assert.deepEqual(await at.symbols.find([0xffffffff81000001n]), [{ symbol: 'moved', offset: 1 }])
})

test('kernel symbols: addresses that the kernel hides, or no file: no names, and one warning', async () => {
  using hidden = setup(LINES.map((line) => line.replace(/^\w+/, '0000000000000000')))
  assert.deepEqual(await hidden.symbols.find([0xffffffff81000000n]), [{ symbol: '', offset: 0 }])
  hidden.now += 10_000
  hidden.modules = 'b'
  await hidden.symbols.load()
  assert.equal(hidden.warnings.length, 1)
  assert.match(hidden.warnings[0] ?? '', /kallsyms: it hides addresses; give the agent CAP_SYSLOG/)
  using missing = setup([])
  rmSync(missing.file)
  assert.deepEqual(await missing.symbols.find([1n]), [{ symbol: '', offset: 0 }])
  assert.match(missing.warnings[0] ?? '', /ENOENT/)
})

test('kernel symbols: as many symbols as a kernel has, in any order', async () => {
  const count = 60_000
  const line = (i: number): string => `ffffffff8${(i * 0x100).toString(16).padStart(7, '0')} t f${i}`
  const lines = Array.from({ length: count }, (_, i) => line((i * 7919) % count))
  using at = setup(lines)
  const wanted = Array.from({ length: 500 }, (_, i) => 0xffffffff80000000n + BigInt(i * 0x1234) + 3n)
  const found = await at.symbols.find(wanted)
  wanted.forEach((address, i) => {
    const number = Number((address - 0xffffffff80000000n) / 0x100n)
    assert.equal(found[i]?.symbol, `f${number}`)
  })
})
