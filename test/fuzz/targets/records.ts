/** Ring records: through decoding, normalizing, waiting for returns and counts, and encoding. */
import { CHUNK_BYTES, checkRecords, randomChunk } from '../../simulation/fuzz/records.ts'
import { Seeded } from '../../simulation/spool/random.ts'
import type { Target } from '../target.ts'

const SEEDS = 40

export const records: Target = {
  name: 'records',
  text: false,
  seeds: () =>
    Array.from({ length: SEEDS }, (_, seed) => {
      const { bytes, length } = randomChunk(new Seeded(seed))
      return Buffer.from(bytes.subarray(0, length))
    }),
  words: ['\0\0\0\0\0\0\0\0', '/etc/passwd\0'],
  covers: /^(?:collector|exporters)\//,
  run(input) {
    const bytes = Buffer.alloc(CHUNK_BYTES)
    input.copy(bytes)
    // The kernel's records are aligned.
    checkRecords(bytes, Math.min(CHUNK_BYTES, input.length) & ~7, new Seeded(input.length))
  },
}
