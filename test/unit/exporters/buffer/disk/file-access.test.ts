import assert from 'node:assert/strict'
import { test } from 'node:test'
import { writeFully } from '../../../../../exporters/buffer/disk/files/file-access.ts'
import type { SpoolFile } from '../../../../../exporters/buffer/disk/files/files.ts'

/** A file whose writes take so many bytes, one after the other. */
function taking(...counts: readonly number[]): { file: SpoolFile; written: () => Buffer } {
  const bytes = Buffer.alloc(16)
  const left = [...counts]
  const write: SpoolFile['write'] = async ([buffer = Buffer.alloc(0)], position) => {
    const taken = left.shift() ?? 0
    bytes.set(buffer.subarray(0, taken), position)
    return taken
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- only what is written to
  return { file: { write } as SpoolFile, written: () => bytes }
}

test('file access: a write in pieces is whole', async () => {
  const { file, written } = taking(2, 1, 3)
  await writeFully(file, [Buffer.from('ab'), Buffer.alloc(0), Buffer.from('cdef')], 4)
  assert.equal(written().toString('latin1', 4, 10), 'abcdef')
})

test('file access: a file that takes no byte ends the write with an error', async () => {
  const { file } = taking(2, 0)
  await assert.rejects(writeFully(file, [Buffer.from('abcdef')], 0), /wrote none/)
})
