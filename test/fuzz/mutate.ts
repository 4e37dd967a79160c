/** Changes of inputs, as fuzzers make them: bits, numbers at the edges, parts of itself and of another input, words of the format. */
import type { Seeded } from '../simulation/spool/random.ts'

/** Longer inputs only cost time: each target reaches its bounds with fewer bytes. */
export const MOST_BYTES = 16 << 10

const EDGES = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]

export function mutated(input: Buffer, other: Buffer, words: readonly string[], random: Seeded): Buffer {
  let bytes = input
  for (let i = 1 + random.int(random.chance(0.2) ? 16 : 4); i > 0; i--) bytes = changed(bytes, other, words, random)
  return bytes.subarray(0, MOST_BYTES)
}

function changed(input: Buffer, other: Buffer, words: readonly string[], random: Seeded): Buffer {
  const at = random.int(input.length + 1)
  const end = Math.min(input.length, at + 1 + random.int(random.chance(0.1) ? 1024 : 16))
  const [before, part, after] = [input.subarray(0, at), input.subarray(at, end), input.subarray(end)]
  const edge = (random.pick(EDGES) ?? 0) + random.int(3) - 1
  switch (random.int(9)) {
    case 0:
      return Buffer.concat([before, after])
    case 1:
      return Buffer.concat([before, part, part, after])
    case 2: {
      const from = random.int(other.length + 1)
      return Buffer.concat([before, other.subarray(from, from + 1 + random.int(64)), after])
    }
    case 3:
      return Buffer.concat([
        before,
        Buffer.from(random.pick(words) ?? ''),
        random.chance(0.5) ? part : Buffer.alloc(0),
        after,
      ])
    case 4: {
      const copy = Buffer.from(input)
      if (at < copy.length) copy[at] = (copy[at] ?? 0) ^ (1 << random.int(8))
      return copy
    }
    case 5: {
      const copy = Buffer.from(input)
      if (at < copy.length) copy[at] = random.int(256)
      return copy
    }
    case 6: {
      const copy = Buffer.from(input)
      if (at + 4 > copy.length) return copy
      if (random.chance(0.5)) copy.writeUInt32LE(edge >>> 0, at)
      else copy.writeUInt32BE(edge >>> 0, at)
      return copy
    }
    case 7: {
      const copy = Buffer.from(input)
      if (at + 2 <= copy.length) copy.writeUInt16LE(edge & 0xffff, at)
      return copy
    }
    default: {
      // Digits in a text.
      const text = input.toString('latin1')
      const digits = [...text.matchAll(/\d+/g)]
      const found = random.pick(digits)
      if (found === undefined) return Buffer.concat([before, Buffer.from(String(edge)), after])
      return Buffer.from(
        text.slice(0, found.index) + String(edge) + text.slice(found.index + found[0].length),
        'latin1',
      )
    }
  }
}
