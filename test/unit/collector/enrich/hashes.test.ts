/**
 * Hashes of the content of files: the file that is read, refusals, and the waits of events. The files are real; stat takes the place of the kernel.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { fstatSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { together } from '../../../../collector/enrich/enrichment.ts'
import { FileHashes } from '../../../../collector/enrich/hashes.ts'
import { FileContents } from '../../../../collector/kernel/files/contents.ts'
import { identityKey } from '../../../../collector/plan/files/entries.ts'
import { SHARED_MAPS } from '../../../../collector/plan/objects.ts'
import type { SharedMaps } from '../../../../collector/plan/objects.ts'
import { IDENTIFIED } from '../../../../collector/wire/wire.ts'
import type { Policy } from '../../../../config/policy/policy.ts'
import type { FileArgument, HookEvent } from '../../../../exporters/contract/event.ts'
import type { AskedHash, FileHash } from '../../../../exporters/contract/file-details.ts'
import { NativeError } from '../../../../native/index.ts'
import { file, makeKprobe, makeProcess } from '../../exporters/support/events.ts'
import { kernel } from '../support/facts.ts'
import { FakeNative, FakeObject } from '../support/fake-native.ts'
import { arg, spec } from '../support/specs.ts'

const top = mkdtempSync(join(tmpdir(), 'ktrail-hashes-'))
after(() => rmSync(top, { recursive: true }))

const asking: Policy = {
  name: 'asking',
  file: 'asking.yaml',
  hooks: [spec({ args: [arg(0, 'file')], fileDetails: { at: { line: 7, col: 3 }, hash: { maxBytes: 100 } } })],
  groups: [],
}

/** As the kernel would answer, but with the device of stat. */
function identified(fd: number): Buffer {
  const { ino, dev, nlink, mode } = fstatSync(fd)
  const bytes = Buffer.alloc(IDENTIFIED.bytes)
  identityKey({ ino: BigInt(ino), dev, generation: 0 }).copy(bytes, IDENTIFIED.identity)
  bytes.writeUInt32LE(nlink, IDENTIFIED.links)
  bytes.writeUInt32LE(mode, IDENTIFIED.mode)
  return bytes
}

interface Rig {
  readonly contents: FileContents
  readonly hashes: FileHashes
  readonly native: FakeNative
  readonly clock: { ms: number }
}

async function rig(): Promise<Rig> {
  const native = new FakeNative()
  native.identify = identified
  const object = new FakeObject(native, 'process.bpf.o', { programs: [] })
  const maps = Object.fromEntries(SHARED_MAPS.map((name) => [name, object.map(name)])) as SharedMaps
  const clock = { ms: 1_000_000 }
  const contents = new FileContents({ facts: kernel(6, 12), constants: {}, openObject: native.openObject }, maps)
  await contents.add([asking])
  return { contents, hashes: new FileHashes(contents, () => clock.ms), native, clock }
}

/** The argument of a call that reached a file as it is now. */
function reached(path: string, change: object = {}, maxBytes = 100): FileArgument & { readonly hash: AskedHash } {
  const { ino, dev, size } = statSync(path)
  const hash: AskedHash = { maxBytes, result: undefined }
  const content = { sizeBytes: size, changed: undefined, generation: 0, links: 1 }
  const details = { content, mountId: 1, detached: false, overlay: undefined, named: undefined, hash }
  return { ...file(path, { inode: ino, device: dev, details, ...change }), hash }
}

const event = (...args: FileArgument[]): HookEvent =>
  makeKprobe({ process: makeProcess({ pid: process.pid }), parent: undefined, args })

async function hashed(
  of: FileArgument & { readonly hash: AskedHash },
  { hashes }: Pick<Rig, 'hashes'>,
): Promise<FileHash | undefined> {
  await hashes.pending(event(of))
  assert.equal(hashes.pending(event(of)), undefined)
  return of.hash.result
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')
const put = (name: string, text: string): string => {
  const path = join(top, name)
  writeFileSync(path, text)
  return path
}

test('hashes: of the content, with its size and when it had changed', async () => {
  const path = put('plain', 'content')
  const result = await hashed(reached(path), await rig())
  const { ctimeNs } = statSync(path, { bigint: true })
  const changed = { sec: Number(ctimeNs / 1_000_000_000n), nsec: Number(ctimeNs % 1_000_000_000n) }
  assert.deepEqual(result, { sha256: sha256('content'), sizeBytes: 7, changed })
})

test('hashes: an empty file and one of the maximum size have a hash, a larger one has the reason', async () => {
  const one = await rig()
  for (const text of ['', 'x'.repeat(100)]) {
    const result = await hashed(reached(put('sized', text)), one)
    assert.ok(result !== undefined && 'sha256' in result && result.sha256 === sha256(text))
  }
  assert.deepEqual(await hashed(reached(put('large', 'x'.repeat(101))), one), { missing: 'too_large' })
  // It has grown since the call.
  const grown = reached(put('growing', 'x'))
  put('growing', 'x'.repeat(101))
  assert.deepEqual(await hashed(grown, one), { missing: 'too_large' })
})

test('hashes: a file that replaced the file of the call is not hashed', async () => {
  const of = reached(put('replaced', 'old'))
  renameSync(put('new', 'new'), join(top, 'replaced'))
  assert.deepEqual(await hashed(of, await rig()), { missing: 'not_found' })
})

test('hashes: the file of an ended process is found in the root of the host', async () => {
  const of = reached(put('ended', 'content'))
  const { hashes } = await rig()
  const gone = { ...event(of), process: makeProcess({ pid: 2 ** 30 }), parent: makeProcess({ pid: 0 }) }
  await hashes.pending(gone)
  assert.ok(of.hash.result !== undefined && 'sha256' in of.hash.result)
})

test('hashes: only regular files are opened for reading', async () => {
  const fifo = join(top, 'fifo')
  execFileSync('mkfifo', [fifo])
  assert.deepEqual(await hashed(reached(fifo), await rig()), { missing: 'no_regular_file' })
})

for (const [name, change] of [
  ['deleted', { deleted: true }],
  ['too deep', { unresolved: true }],
  ['renamed while it was read', { unstable: true }],
  ['without a path', { path: '' }],
] as const) {
  test(`hashes: a path that is ${name} is not tried`, async () => {
    const of = reached(put('no-path', 'x'), change)
    const { hashes } = await rig()
    assert.equal(hashes.pending(event(of)), undefined)
    assert.deepEqual(of.hash.result, { missing: 'no_path' })
  })
}

test('hashes: calls on a file that waits share its hash, and both files of a call have theirs', async () => {
  const { hashes } = await rig()
  const [a, b] = [put('a', 'a'), put('b', 'b')]
  const [first, other, again, second] = [reached(a), reached(b), reached(b), reached(b)]
  const waits = [event(first, other), event(again), event(second)].map((of) => hashes.pending(of))
  assert.notEqual(waits[0], waits[1])
  assert.equal(waits[1], waits[2])
  await Promise.all(waits)
  const texts = [first, other, again, second].map(
    ({ hash: { result } }) => result && 'sha256' in result && result.sha256,
  )
  assert.deepEqual(texts, [sha256('a'), sha256('b'), sha256('b'), sha256('b')])
})

test('hashes: files beyond the bytes that the agent reads in a second are not started, and have that reason', async () => {
  const { hashes, clock } = await rig()
  const path = put('many', 'x')
  const all = Array.from({ length: 1025 }, () => reached(path, { inode: 2 ** 40 }))
  const asked = all.map((of, i) => ({ ...of, inode: 2 ** 40 + i }))
  const waits = asked.map((of) => hashes.pending(event(of)))
  const [last] = asked.slice(-1)
  assert.deepEqual(last?.hash.result, { missing: 'busy' })
  await Promise.all(waits)
  const later = reached(path)
  assert.equal(hashes.pending(event(later)), undefined)
  assert.deepEqual(later.hash.result, { missing: 'busy' })
  clock.ms += 1000
  const result = await hashed(reached(path), { hashes })
  assert.ok(result !== undefined && 'sha256' in result)
})

test('hashes: an event waits for a second, and then has no hash', async (t) => {
  const { hashes } = await rig()
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const of = reached(put('late', 'x'))
  const done = hashes.pending(event(of))
  t.mock.timers.tick(999)
  assert.equal(of.hash.result, undefined)
  t.mock.timers.tick(1)
  await done
  assert.deepEqual(of.hash.result, { missing: 'late' })
})

test('hashes: a kernel that cannot identify files refuses such a policy, with its place', async () => {
  const { contents, native } = await rig()
  contents.close()
  native.fail = (call) => (call.startsWith('open ') ? new NativeError('UNSUPPORTED', 'no') : undefined)
  await assert.rejects(contents.add([asking]), {
    code: 'POLICY_REFUSED',
    message: 'asking.yaml:7:3: fileDetails.hash does not fit into this kernel: no',
  })
  native.fail = () => undefined
  await contents.add([asking])
})

test('hashes: without a hook with hashes, events are passed on unchanged', async () => {
  const { contents, hashes } = await rig()
  const both = together([hashes])
  assert.equal(both.idle, false)
  contents.remove([asking])
  assert.equal(both.idle, true)
  assert.equal(together([hashes, { pending: () => undefined }]).idle, false)
})
