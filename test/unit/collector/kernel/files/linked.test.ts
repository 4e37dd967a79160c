/**
 * Hard links of watched folders: the links that a search finds or forgets. The kernel is maps in memory, and `keep` below is its keep_linked; the
 * files are real.
 */
import assert from 'node:assert/strict'
import { linkSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { identityKey } from '../../../../../collector/plan/files/entries.ts'
import { LinkedFiles } from '../../../../../collector/kernel/files/linked.ts'
import { linksBelow } from '../../../../../collector/kernel/files/links.ts'
import { Unanswered } from '../../../../../collector/kernel/files/reach.ts'
import type { Identified, WatchedFolder } from '../../../../../collector/kernel/files/resolve.ts'
import { IDENTITY, LINKED_FILTERS, LINKED_NEWS, NAMED_MAX } from '../../../../../collector/wire/wire.ts'
import { openPathWorker } from '../../../../../native/index.ts'
import type { BpfMap, FolderRead } from '../../../../../native/types.ts'

const worker = openPathWorker()
const readFolder = (path: Buffer): Promise<FolderRead> => worker.readFolder(path)
const top = mkdtempSync(join(tmpdir(), 'ktrail-linked-'))
after(() => rmSync(top, { recursive: true }))

const put = (path: string): string => {
  writeFileSync(path, 'x')
  return path
}

/** A hash map of at most `room` entries. */
class FakeMap {
  readonly entries = new Map<string, Buffer>()
  readonly room: number

  constructor(room = 1000) {
    this.room = room
  }

  readonly lookup = (key: Uint8Array): Buffer | undefined => this.entries.get(Buffer.from(key).toString('latin1'))

  readonly update = (key: Uint8Array, value: Uint8Array): boolean => {
    const text = Buffer.from(key).toString('latin1')
    if (this.entries.size >= this.room && !this.entries.has(text)) throw new Error('full')
    this.entries.set(text, Buffer.from(value))
    return true
  }

  readonly delete = (key: Uint8Array): boolean => this.entries.delete(Buffer.from(key).toString('latin1'))

  readonly part = (): ReturnType<BpfMap['part']> => ({
    keys: Buffer.concat([...this.entries.keys()].map((key) => Buffer.from(key, 'latin1'))),
    values: Buffer.concat([...this.entries.values()]),
    count: this.entries.size,
    next: undefined,
  })

  get info(): BpfMap['info'] {
    return {
      name: 'linked',
      keySize: IDENTITY.bytes,
      valueSize: LINKED_FILTERS.bytes,
      maxEntries: this.room,
      perCpu: 1,
    }
  }
}

function identify(path: string | Buffer): Identified {
  const { ino, dev, nlink } = statSync(path)
  return { ino: BigInt(ino), dev, generation: 0, links: nlink, isFolder: false, isUnkept: false }
}

function made(
  room?: number,
  during = (_news: FakeMap): void => {},
): {
  linked: LinkedFiles
  map: FakeMap
  news: FakeMap
  warnings: string[]
  /** Arguments of file_known. */
  cleared: bigint[]
  writes: () => number
  /** Folders whose file system does not answer. */
  silent: Set<string>
  /** Lets this much time pass. */
  pass: (ms: number) => void
} {
  const [map, news] = [new FakeMap(room), new FakeMap()]
  const [warnings, cleared]: [string[], bigint[]] = [[], []]
  const silent = new Set<string>()
  let [writes, nowMs] = [0, 1000]
  const linked = new LinkedFiles({
    maps: { linked: map as unknown as BpfMap, linked_news: news as unknown as BpfMap },
    resolver: {
      identifyPath: (path, { below } = {}) => {
        during(news)
        const file = identify(path)
        return Promise.resolve({ ...file, isUnkept: below !== undefined && !keep(map, file, below, linked.round) })
      },
    },
    clearUnknown: (filters) => void cleared.push(filters),
    readFolder: (path) => (silent.has(path.toString()) ? Promise.reject(new Unanswered('silent')) : readFolder(path)),
    rewrite: () => Promise.resolve(void writes++),
    warn: (_, message) => warnings.push(message),
    nowMs: () => nowMs,
  })
  return { linked, map, news, warnings, cleared, silent, writes: () => writes, pass: (ms) => void (nowMs += ms) }
}

/** keep_linked of bpf/files.bpf.c. False: no room. */
function keep(map: FakeMap, file: Identified, { filters, named }: WatchedFolder, round: bigint): boolean {
  if (file.links < 2) return true
  const key = identityKey(file)
  const entry = map.lookup(key) ?? Buffer.alloc(LINKED_FILTERS.bytes)
  entry.writeBigUInt64LE(entry.readBigUInt64LE(LINKED_FILTERS.filters) | filters, LINKED_FILTERS.filters)
  entry.writeBigUInt64LE(round, LINKED_FILTERS.round)
  const names = Array.from({ length: NAMED_MAX }, (_, i) => entry.readUInt32LE(LINKED_FILTERS.named + 4 * i))
  const at = names.findIndex((name) => name === 0 || name === named)
  if (at >= 0) entry.writeUInt32LE(named, LINKED_FILTERS.named + 4 * at)
  try {
    return map.update(key, entry)
  } catch {
    return false
  }
}

const filtersOf = (map: FakeMap, path: string): bigint | undefined =>
  map.lookup(identityKey(identify(path)))?.readBigUInt64LE(LINKED_FILTERS.filters)

test('linked: files with several links at any depth, whatever their names; no folders, no links that lead elsewhere', async () => {
  const folder = join(top, 'find')
  mkdirSync(join(folder, 'a', 'b'), { recursive: true })
  const deep = put(join(folder, 'a', 'b', 'f'))
  linkSync(deep, join(top, 'find-outside'))
  put(join(folder, 'alone'))
  const strange = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff, 0x0a])])
  writeFileSync(strange, 'x')
  linkSync(strange, join(top, 'find-strange'))
  mkdirSync(join(top, 'elsewhere'))
  linkSync(put(join(top, 'elsewhere', 'f')), join(top, 'elsewhere', 'g'))
  symlinkSync(join(top, 'elsewhere'), join(folder, 'link'))
  const looked = { files: 0, folders: 0, links: 0, unread: 0 }
  const found: string[] = []
  for await (const path of linksBelow(folder, looked, readFolder)) found.push(path.toString('latin1'))
  assert.deepEqual(found.toSorted(), [deep, strange.toString('latin1')].toSorted())
  assert.deepEqual(looked, { files: 6, folders: 3, links: 2, unread: 0 })
})

test('linked: a missing folder has no links', async () => {
  const looked = { files: 0, folders: 0, links: 0, unread: 0 }
  for await (const path of linksBelow(join(top, 'none'), looked, readFolder)) assert.fail(path.toString())
  assert.deepEqual(looked, { files: 0, folders: 1, links: 0, unread: 1 })
})

test('linked: a filter is known when its own folders are searched, before the search of others ends', async () => {
  const [small, large] = [join(top, 'small'), join(top, 'large')]
  mkdirSync(small)
  mkdirSync(large)
  linkSync(put(join(large, 'f')), join(top, 'large-link'))
  const seen: bigint[] = []
  const { linked } = made(undefined, () => void seen.push(linked.unknown))
  linked.follow(
    new Map([
      [small, { filters: 1n, named: 1 }],
      [large, { filters: 6n, named: 2 }],
      [join(top, 'none'), { filters: 4n, named: 3 }],
    ]),
  )
  await linked.look()
  assert.deepEqual([seen, linked.unknown], [[6n], 0n])
})

test('linked: a search adds the links that it finds, and forgets those that only earlier searches found', async () => {
  const [one, two] = [join(top, 'one'), join(top, 'two')]
  mkdirSync(one)
  mkdirSync(two)
  const [both, gone] = [put(join(one, 'both')), put(join(one, 'gone'))]
  linkSync(both, join(two, 'both'))
  linkSync(gone, join(top, 'kept'))
  const { linked, map } = made()
  linked.follow(
    new Map([
      [one, { filters: 1n, named: 7 }],
      [two, { filters: 4n, named: 7 }],
    ]),
  )
  await linked.look()
  assert.deepEqual([filtersOf(map, both), filtersOf(map, gone)], [5n, 1n])
  unlinkSync(gone)
  linkSync(join(top, 'kept'), join(top, 'kept-too'))
  await linked.look()
  assert.deepEqual([filtersOf(map, both), filtersOf(map, join(top, 'kept'))], [5n, undefined])
})

test('linked: until the first search has ended, and if the map is full, every file with several links may match', async () => {
  const folder = join(top, 'full')
  mkdirSync(folder)
  for (const name of ['a', 'b']) linkSync(put(join(folder, name)), join(top, `full-${name}`))
  const { linked, warnings } = made(1)
  linked.follow(new Map([[folder, { filters: 2n, named: 7 }]]))
  const look = linked.look()
  assert.equal(linked.unknown, 2n)
  await look
  assert.equal(linked.unknown, 2n)
  assert.match(warnings.join(), /the table of files with several links is full/)
  const wide = made()
  wide.linked.follow(new Map([[folder, { filters: 2n, named: 7 }]]))
  await wide.linked.known(10_000)
  assert.equal(wide.linked.unknown, 0n)
  assert.equal(wide.warnings.length, 0)
})

test('linked: a rename in the kernel starts a search; without one, there is no search', async () => {
  const folder = join(top, 'moved')
  mkdirSync(folder)
  for (const name of ['a', 'b']) linkSync(put(join(folder, name)), join(top, `moved-${name}`))
  const { linked, news, writes, pass } = made()
  linked.follow(new Map([[folder, { filters: 2n, named: 7 }]]))
  await linked.known(10_000)
  const before = writes()
  pass(60_000)
  linked.lookIfMoved()
  assert.equal(writes(), before)
  const seen = Buffer.alloc(LINKED_NEWS.bytes)
  seen.writeBigUInt64LE(1n, LINKED_NEWS.moved)
  news.update(Buffer.alloc(4), seen)
  linked.lookIfMoved()
  assert.ok(writes() > before)
  await linked.look()
})

test('linked: the number of entries, not the duration, sets the pace of searches', async () => {
  const folder = join(top, 'paced')
  mkdirSync(folder)
  for (const name of ['a', 'b']) linkSync(put(join(folder, name)), join(top, `paced-${name}`))
  let slow = (): void => {}
  const { linked, news, writes, pass } = made(undefined, () => slow())
  // A loaded host: each link takes a minute.
  slow = () => pass(60_000)
  linked.follow(new Map([[folder, { filters: 2n, named: 7 }]]))
  await linked.known(10_000)
  const seen = Buffer.alloc(LINKED_NEWS.bytes)
  seen.writeBigUInt64LE(1n, LINKED_NEWS.moved)
  news.update(Buffer.alloc(4), seen)
  const before = writes()
  // One folder, two files, two links: 5.1 ms.
  pass(5)
  linked.lookIfMoved()
  assert.equal(writes(), before)
  pass(1)
  linked.lookIfMoved()
  assert.ok(writes() > before)
  await linked.look()
})

test('linked: a search during which folders moved forgets nothing, because it may have missed their files', async () => {
  const folder = join(top, 'moving')
  mkdirSync(folder)
  const gone = put(join(folder, 'gone'))
  linkSync(gone, join(top, 'moving-kept'))
  linkSync(put(join(folder, 'there')), join(top, 'moving-there'))
  let [moved, moving] = [0n, false]
  const { linked, map } = made(undefined, (news) => {
    const seen = Buffer.alloc(LINKED_NEWS.bytes)
    if (moving) moved++
    seen.writeBigUInt64LE(moved, LINKED_NEWS.moved)
    news.update(Buffer.alloc(4), seen)
  })
  linked.follow(new Map([[folder, { filters: 1n, named: 7 }]]))
  await linked.look()
  unlinkSync(gone)
  moving = true
  await linked.look()
  assert.equal(filtersOf(map, join(top, 'moving-kept')), 1n)
  moving = false
  await linked.look()
  assert.equal(filtersOf(map, join(top, 'moving-kept')), undefined)
})

test('linked: filters of a folder that does not answer match every file with several links; other folders are searched, and it again after a minute', async () => {
  const [hung, good] = [join(top, 'hung'), join(top, 'good')]
  mkdirSync(hung)
  mkdirSync(good)
  const [there, behind] = [put(join(good, 'f')), put(join(hung, 'f'))]
  linkSync(there, join(top, 'good-outside'))
  linkSync(behind, join(top, 'hung-outside'))
  const { linked, map, silent, pass, writes } = made()
  linked.follow(
    new Map([
      [hung, { filters: 1n, named: 7 }],
      [good, { filters: 2n, named: 8 }],
    ]),
  )
  silent.add(hung)
  await linked.known(10_000)
  assert.deepEqual([filtersOf(map, there), filtersOf(map, behind), linked.unknown], [2n, undefined, 1n])
  silent.clear()
  pass(60_000)
  const before = writes()
  linked.lookIfMoved()
  assert.equal(linked.unknown, 1n, 'not known before this look has ended')
  await linked.look()
  assert.ok(writes() > before)
  assert.deepEqual([filtersOf(map, behind), linked.unknown], [1n, 0n])
})

/** `kept` of the kernel's news. */
function countKept(news: FakeMap, kept: bigint): void {
  const seen = Buffer.alloc(LINKED_NEWS.bytes)
  seen.writeBigUInt64LE(kept, LINKED_NEWS.kept)
  news.update(Buffer.alloc(4), seen)
}

test('linked: a file below folders of two filters keeps both during each search, and loses one when its name there has gone', async () => {
  const [one, two] = [join(top, 'pair-one'), join(top, 'pair-two')]
  mkdirSync(one)
  mkdirSync(two)
  const file = put(join(one, 'f'))
  linkSync(file, join(two, 'f'))
  linkSync(file, join(top, 'pair-outside'))
  const seen: Array<bigint | undefined> = []
  const { linked, map } = made(undefined, () => void seen.push(filtersOf(map, file)))
  linked.follow(
    new Map([
      [one, { filters: 1n, named: 7 }],
      [two, { filters: 4n, named: 8 }],
    ]),
  )
  await linked.look()
  seen.length = 0
  await linked.look()
  assert.deepEqual([seen, filtersOf(map, file)], [[5n, 5n], 5n])
  unlinkSync(join(two, 'f'))
  await linked.look()
  assert.equal(filtersOf(map, file), 1n)
  const entry = map.lookup(identityKey(identify(file)))
  assert.deepEqual([entry?.readUInt32LE(LINKED_FILTERS.named), entry?.readUInt32LE(LINKED_FILTERS.named + 4)], [7, 0])
})

test('linked: what the kernel side adds during a search stays; the next search without news forgets, and clears what had no room', async () => {
  const folder = join(top, 'added')
  mkdirSync(folder)
  const file = put(join(folder, 'f'))
  linkSync(file, join(top, 'added-outside'))
  let kept = 0n
  let isAdding = true
  const { linked, map, news, cleared } = made(undefined, () => {
    if (!isAdding) return
    keep(map, identify(file), { filters: 8n, named: 9 }, linked.round)
    countKept(news, ++kept)
  })
  linked.follow(new Map([[folder, { filters: 1n, named: 7 }]]))
  await linked.look()
  assert.deepEqual([filtersOf(map, file), cleared], [9n, []])
  isAdding = false
  await linked.look()
  assert.deepEqual([filtersOf(map, file), cleared], [1n, [1n]])
})

test('linked: a link that the kernel side adds while a search forgets others is searched again after the pause', async () => {
  const folder = join(top, 'late')
  mkdirSync(folder)
  const gone = put(join(folder, 'gone'))
  linkSync(gone, join(top, 'late-kept'))
  const { linked, map, news, writes, pass } = made()
  linked.follow(new Map([[folder, { filters: 1n, named: 7 }]]))
  await linked.known(10_000)
  unlinkSync(gone)
  const remove = map.delete
  Object.assign(map, { delete: (key: Uint8Array) => (countKept(news, 1n), remove(key)) })
  await linked.look()
  const before = writes()
  pass(60_000)
  linked.lookIfMoved()
  assert.ok(writes() > before)
  await linked.look()
})
