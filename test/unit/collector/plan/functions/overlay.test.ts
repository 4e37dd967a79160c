/** The place where overlayfs keeps the files of its layers, by the members of the kernel's types. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { overlayPlaces } from '../../../../../collector/plan/functions/overlay.ts'
import { OVERLAY_PLACES, OVERLAY_STEPS } from '../../../../../collector/wire/wire.ts'

const BASE = { base: '', sizeBytes: 8, signed: false, bit: 0, bits: 0 }

async function placesOf(known: Readonly<Record<string, readonly number[]>>): Promise<unknown> {
  const bytes = await overlayPlaces(async (paths) =>
    paths.map((path) => ({ ...BASE, offsets: known[path] ?? [], problem: path in known ? '' : 'not there' })),
  )
  const word = (at: number): number => bytes.readUInt32LE(at)
  const steps = word(OVERLAY_PLACES.steps)
  const lower = Array.from({ length: OVERLAY_STEPS }, (_, i) => word(OVERLAY_PLACES.lower + 4 * i))
  return { upper: word(OVERLAY_PLACES.upper), lower: lower.slice(0, steps) }
}

const INODE = { 'ovl_inode vfs_inode': [32], 'ovl_inode __upperdentry': [632] }

const ROWS: ReadonlyArray<readonly [name: string, known: Readonly<Record<string, readonly number[]>>, want: unknown]> =
  [
    ['Linux 5.10', { ...INODE, 'ovl_inode lower': [640] }, { upper: 600, lower: [608] }],
    ['Linux 6.1', { ...INODE, 'ovl_inode lowerpath.dentry.d_inode': [648, 48] }, { upper: 600, lower: [616, 48] }],
    [
      'Linux 6.12',
      { ...INODE, 'ovl_inode oe.__lowerstack[0].dentry.d_inode': [640, 16, 48] },
      { upper: 600, lower: [608, 16, 48] },
    ],
    ['a kernel without overlayfs', {}, { upper: 0, lower: [] }],
    ['another layout', INODE, { upper: 0, lower: [] }],
    [
      'members before the inode',
      { 'ovl_inode vfs_inode': [700], 'ovl_inode __upperdentry': [8], 'ovl_inode lower': [16] },
      { upper: 0, lower: [] },
    ],
  ]

for (const [name, known, want] of ROWS) {
  test(`overlay: ${name}`, async () => assert.deepEqual(await placesOf(known), want))
}
