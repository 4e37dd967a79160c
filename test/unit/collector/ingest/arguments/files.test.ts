/** `struct file_details` → its data in events; numbers and dates as a file system may make them up. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileDetails } from '../../../../../collector/ingest/arguments/files.ts'
import { exact } from '../../../../../collector/wire/values.ts'
import { DETAIL_DETACHED, DETAIL_OVERLAY, DETAIL_UPPER, FILE_DETAILS } from '../../../../../collector/wire/wire.ts'
import type { FileDetails } from '../../../../../exporters/contract/file-details.ts'

const AT = 24
const nobody = { named: (): undefined => undefined, hashMaxBytes: undefined }

function made(change: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.alloc(AT + FILE_DETAILS.bytes)
  change(bytes.subarray(AT))
  return bytes
}

test('file details: all details from the kernel', () => {
  const bytes = made((to) => {
    to.writeBigUInt64LE(4096n, FILE_DETAILS.size)
    to.writeBigInt64LE(1_700_000_000n, FILE_DETAILS.changedSec)
    to.writeUInt32LE(999_999_999, FILE_DETAILS.changedNsec)
    to.writeUInt32LE(0xffff_ffff, FILE_DETAILS.generation)
    to.writeUInt32LE(2, FILE_DETAILS.links)
    to.writeUInt32LE(31, FILE_DETAILS.mountId)
    to.writeBigUInt64LE(2n ** 63n + 5n, FILE_DETAILS.realIno)
    to.writeUInt32LE(0x800001, FILE_DETAILS.realDev)
    to.writeUInt32LE(DETAIL_DETACHED | DETAIL_OVERLAY | DETAIL_UPPER, FILE_DETAILS.flags)
    // Numbers of other policies, then one that is the hook's.
    for (const [i, number] of [9, 8, 2, 3].entries()) to.writeUInt32LE(number, FILE_DETAILS.named + 4 * i)
  })
  const want: FileDetails = {
    content: {
      sizeBytes: 4096,
      changed: { sec: 1_700_000_000, nsec: 999_999_999 },
      generation: 0xffff_ffff,
      links: 2,
    },
    mountId: 31,
    detached: true,
    overlay: { upper: true, inode: 2n ** 63n + 5n, device: 0x800001 },
    named: '/two',
    hash: { maxBytes: 7, result: undefined },
  }
  const paths = new Map([
    [2, '/two'],
    [3, '/three'],
  ])
  const named = (number: number): string | undefined => paths.get(number)
  assert.deepEqual(fileDetails(bytes, AT, true, { named, hashMaxBytes: 7 }), want)
})

test('file details: a name without a file has only its place', () => {
  const bytes = made((to) => to.writeUInt32LE(5, FILE_DETAILS.mountId))
  assert.deepEqual(fileDetails(bytes, AT, false, { ...nobody, hashMaxBytes: 7 }), {
    content: undefined,
    mountId: 5,
    detached: false,
    overlay: undefined,
    named: undefined,
    hash: undefined,
  })
})

test('file details: a date that no text can hold is left out', () => {
  const dateOf = (sec: bigint, nsec: number): unknown =>
    fileDetails(
      made((to) => {
        to.writeBigInt64LE(sec, FILE_DETAILS.changedSec)
        to.writeUInt32LE(nsec, FILE_DETAILS.changedNsec)
      }),
      AT,
      true,
      nobody,
    ).content?.changed
  assert.deepEqual(dateOf(-1n, 5), { sec: -1, nsec: 5 })
  assert.deepEqual(dateOf(253_402_300_799n, 0), { sec: 253_402_300_799, nsec: 0 })
  for (const sec of [253_402_300_800n, -62_135_596_801n, 2n ** 63n - 1n, -(2n ** 63n)]) {
    assert.equal(dateOf(sec, 0), undefined, String(sec))
  }
  assert.equal(dateOf(0n, 1_000_000_000), undefined)
})

test('file details: wide numbers are exact', () => {
  assert.equal(exact(0xffff_ffff, 0x1f_ffff), 2 ** 53 - 1)
  assert.equal(exact(1, 0x20_0000), 2n ** 53n + 1n)
  assert.equal(exact(0xffff_ffff, 0xffff_ffff), 2n ** 64n - 1n)
})
