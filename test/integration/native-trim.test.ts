/** Programs that the addon trims by their constants compute what they would compute whole. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

import { openObject } from '../../native/index.ts'
import { LONG } from '../support/long.ts'
import { cannotAttach, compileFixture } from './native-fixture.ts'

const ROUNDS = LONG ? 2000 : 60
const CALLS = 40
const skip = cannotAttach()
if (skip !== false) console.log(`native-trim: skipped: ${skip}`)
const path = skip === false ? compileFixture('bpf/trim.bpf.c') : ''

/** Values at which comparisons change. */
const EDGES = [
  0n,
  1n,
  2n,
  5n,
  100n,
  255n,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x7fffffffffffffffn,
  0x8000000000000000n,
  0xffffffffffffffffn,
]

/** xorshift64. */
function* random(seed: bigint): Generator<bigint, never> {
  for (let x = seed; ; yield x) {
    x ^= BigInt.asUintN(64, x << 13n)
    x ^= x >> 7n
    x ^= BigInt.asUintN(64, x << 17n)
  }
}

describe('native: trimmed programs', { skip }, () => {
  it('return what they return whole, with random constants', async () => {
    const seed = BigInt(process.env['KTRAIL_SEED'] ?? Date.now())
    const numbers = random(seed)
    const next = (): bigint => {
      const [which, any] = [Number(numbers.next().value % 4n), numbers.next().value]
      return which === 0 ? any : (EDGES[Number(any % BigInt(EDGES.length))] ?? 0n)
    }
    for (let round = 0; round < ROUNDS; round++) {
      const constants = { numbers: Buffer.alloc(128), halves: Buffer.alloc(64), bytes: Buffer.alloc(16) }
      for (let i = 0; i < 16; i++) {
        constants.numbers.writeBigUInt64LE(next(), 8 * i)
        constants.halves.writeUInt32LE(Number(next() & 0xffffffffn), 4 * i)
        constants.bytes[i] = Number(next() & 0xffn)
      }
      using object = await openObject(path, {
        programs: ['trimmed', 'whole'].map((name) => ({ name, kind: 'run' as const })),
        constants,
      })
      for (let call = 0; call < CALLS; call++) {
        const argument = Number(next() & 0xffffffffn)
        const [trimmed, whole] = [object.run('trimmed', argument), object.run('whole', argument)]
        assert.equal(trimmed, whole, `KTRAIL_SEED=${seed}: round ${round}, argument ${argument}`)
      }
    }
  })
})
