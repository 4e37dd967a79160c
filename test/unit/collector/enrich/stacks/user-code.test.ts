/** Addresses of programs → files, offsets and functions, with a proc file system of the test's own. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { test } from 'node:test'
import { symbolsAt } from '../../../../../collector/enrich/stacks/elf-symbols.ts'
import { UserCode } from '../../../../../collector/enrich/stacks/user-code.ts'
import type { Code } from '../../../../../collector/enrich/stacks/user-code.ts'
import { hungThreads } from '../../../../../config/base/time/answered.ts'
import { until } from '../../../exporters/support/fake-clock.ts'
import { Folder } from '../../../exporters/support/folder.ts'
import { elfFile } from './elf.ts'
import { cpuMs } from '../../../../support/measure/cpu.ts'

const PID = 7
const SYMBOLS = [
  { name: 'outer', value: 0x2000, size: 0x100 },
  { name: 'inner', value: 0x2040, size: 0x10 },
  { name: 'alias', value: 0x2040, size: 0x10 },
  { name: 'data', value: 0x2080, size: 0x1000, type: 1 },
  { name: 'elsewhere', value: 0x2200, size: 0x10, section: 0 },
  { name: 'far', value: 0x9000, size: 0x10 },
]

interface Setup extends Disposable {
  readonly code: UserCode
  readonly procfs: Folder
  now: number
  /** Writes a file that the process has mapped, and a line of its mappings. */
  map(start: number, path: string, content: Buffer, offset?: number): void
  find(...addresses: number[]): Promise<ReadonlyArray<Code | undefined>>
}

function setup(): Setup {
  const procfs = new Folder()
  const made: Setup = {
    procfs,
    now: 0,
    code: new UserCode(procfs.path, () => made.now),
    map(start, path, content, offset = 0x1000) {
      const file = procfs.at(`${PID}/root${path}`)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, content)
      const range = `${start.toString(16)}-${(start + 0x8000).toString(16)}`
      const line = (permissions: string): string =>
        `${range} ${permissions} ${offset.toString(16).padStart(8, '0')} 08:01 ${statSync(file).ino}   ${path}\n`
      writeFileSync(procfs.at(`${PID}/maps`), line('r-xp'), { flag: 'a' })
    },
    find: (...addresses) => made.code.find(PID, addresses),
    [Symbol.dispose]: () => procfs[Symbol.dispose](),
  }
  mkdirSync(procfs.at(String(PID)), { recursive: true })
  return made
}

test('user code: file, offset in it, and the function that begins last', async () => {
  using at = setup()
  at.map(0x7f00_0000_0000, '/lib/a b.so', elfFile(SYMBOLS))
  at.map(0x7f00_1000_0000, '/lib/dynamic.so', elfFile(SYMBOLS, { table: 11 }))
  const a = (offset: number, symbol: string): Code => ({ module: '/lib/a b.so', offset, symbol })
  assert.deepEqual(
    await at.find(
      0x7f00_0000_0000,
      0x7f00_0000_0045,
      0x7f00_0000_0050,
      0x7f00_0000_0100,
      0x7f00_0000_0205,
      0x7f00_0000_7008,
      0x7f00_1000_0001,
      0x7f00_0000_7fff + 1,
      1,
    ),
    [
      a(0x1000, 'outer'),
      a(0x1045, 'inner'),
      a(0x1050, 'outer'),
      a(0x1100, ''),
      a(0x1205, ''),
      a(0x8008, 'far'),
      { module: '/lib/dynamic.so', offset: 0x1001, symbol: 'outer' },
      undefined,
      undefined,
    ],
  )
})

test('user code: a mapping without a file has its name, and an address outside of code has nothing', async () => {
  using at = setup()
  const lines = [
    '1000-2000 r--p 00000000 08:01 9   /data',
    '2000-3000 r-xp 00000000 00:00 0 ',
    '8000-9000 r-xp 00000000 08:01 9   /gone (deleted)',
    '7ffd0000-7ffd2000 r-xp 00000000 00:00 0          [vdso]',
    'nonsense',
    'ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0   [vsyscall]',
  ]
  writeFileSync(at.procfs.at(`${PID}/maps`), lines.join('\n'))
  assert.deepEqual(await at.find(0x1800, 0x2800, 0x7ffd_0800, 0x8001), [
    undefined,
    { module: '', offset: 0x800, symbol: '' },
    { module: '[vdso]', offset: 0x800, symbol: '' },
    { module: '/gone (deleted)', offset: 1, symbol: '' },
  ])
})

test('user code: an ended process has no mappings', async () => {
  using at = setup()
  assert.deepEqual(await at.find(0x1000), [undefined])
})

test('user code: mappings are kept for a second, and read again for an address that is in none', async () => {
  using at = setup()
  at.map(0x10000, '/a', elfFile(SYMBOLS))
  assert.equal((await at.find(0x10000))[0]?.symbol, 'outer')
  unlinkSync(at.procfs.at(`${PID}/maps`))
  assert.equal((await at.find(0x10001))[0]?.module, '/a', 'kept')
  at.map(0x10000, '/b', elfFile(SYMBOLS))
  at.map(0x20000, '/c', elfFile(SYMBOLS))
  assert.equal((await at.find(0x20001))[0]?.module, '/c', 'one that is not in those that are kept')
  unlinkSync(at.procfs.at(`${PID}/maps`))
  at.now += 1001
  assert.deepEqual(await at.find(0x10000), [undefined])
})

test('user code: only the mapped file is read, not a later file of the same name', async () => {
  using at = setup()
  at.map(0x10000, '/replaced', elfFile(SYMBOLS))
  at.map(0x20000, '/link', elfFile(SYMBOLS))
  at.map(0x30000, '/pipe', elfFile(SYMBOLS))
  const path = (name: string): string => at.procfs.at(`${PID}/root/${name}`)
  writeFileSync(path('other'), elfFile([{ name: 'forged', value: 0x2000, size: 0x100 }]))
  for (const name of ['replaced', 'link', 'pipe']) unlinkSync(path(name))
  writeFileSync(path('keeps-the-inode'), '')
  writeFileSync(path('replaced'), elfFile([{ name: 'forged', value: 0x2000, size: 0x100 }]))
  symlinkSync('other', path('link'))
  execFileSync('mkfifo', [path('pipe')])
  const found = await at.find(0x10000, 0x20000, 0x30000)
  assert.deepEqual(
    found.map((code) => code?.symbol),
    ['', '', ''],
  )
})

test('user code: a file of nonsense gives no symbols, and takes little processor time', async () => {
  using at = setup()
  const good = elfFile(SYMBOLS)
  let seed = 1
  const random = (below: number): number => (seed = (seed * 48_271) % 0x7fff_ffff) % below
  const fromMs = cpuMs()
  for (let i = 0; i < 300; i++) {
    const bytes = Buffer.from(good.subarray(0, random(4) === 0 ? random(good.length) : good.length))
    for (let n = random(6); n >= 0 && bytes.length > 0; n--) bytes[random(bytes.length)] = random(2) * 0xff
    at.map(0x10000 * (i + 1), `/file-${i}`, bytes)
  }
  const found = await at.find(...Array.from({ length: 300 }, (_, i) => 0x10000 * (i + 1) + 0x45))
  assert.equal(found.length, 300)
  for (const code of found) assert.ok(code !== undefined && code.symbol.length <= 255)
  assert.ok(cpuMs() - fromMs < 5000)
})

test('user code: an endless list of mappings is read up to a bound', async () => {
  using at = setup()
  const lines = Array.from({ length: 40_000 }, (_, i) => {
    const start = 0x10000 * (i + 1)
    return `${start.toString(16)}-${(start + 0x1000).toString(16)} r-xp 00000000 08:01 9   /n${i}\n`
  })
  writeFileSync(at.procfs.at(`${PID}/maps`), lines.join(''))
  const found = await at.find(0x10000, 0x10000 * 40_000)
  assert.equal(found[0]?.module, '/n0')
  assert.equal(found[1], undefined)
})

test('user code: a hanging read of the list is abandoned, and the process still ends', async () => {
  using at = setup()
  const maps = at.procfs.at(`${PID}/maps`)
  rmSync(maps, { force: true })
  execFileSync('mkfifo', [maps])
  assert.deepEqual(await at.find(0x10000), [undefined])
  // `process.exit` would wait for it, so main.ts ends the process otherwise.
  assert.equal(hungThreads(), 1)
  writeFileSync(maps, '')
  await until('the read to end', () => hungThreads() === 0)
})

test('user code: a file whose functions all contain all addresses does not take the event loop', async () => {
  const symbols = Array.from({ length: 40_000 }, (_, i) => ({ name: `f${i}`, value: 0x2000 + (i % 100), size: 0x8000 }))
  using folder = new Folder()
  writeFileSync(folder.at('overlapping'), elfFile(symbols))
  await using handle = await open(folder.at('overlapping'))
  const fromMs = cpuMs()
  const offsets = Array.from({ length: 4064 }, (_, i) => 0x1100 + i)
  const found = await symbolsAt(handle, offsets)
  assert.deepEqual(new Set(found.values()), new Set(['f99']))
  const ms = cpuMs() - fromMs
  assert.ok(ms < 2000, `${ms} ms`)
})
