/** The fuzzer itself, and the corpora: inputs of the past, and each crash that was found. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { bytesOf, corpusOf } from '../fuzz/corpus.ts'
import { fuzz } from '../fuzz/fuzz.ts'
import { TARGETS } from '../fuzz/targets.ts'
import type { Target } from '../fuzz/target.ts'

/** Much longer than any input of the corpora takes. */
const INPUT_MS = 5_000

describe('fuzz', () => {
  const three: Target = {
    name: 'three',
    text: false,
    seeds: () => [Buffer.from('a word')],
    words: ['f', 'u', 'z'],
    covers: /^test\/unit\/fuzz\.test\.ts$/,
    run(input) {
      if (input[0] !== 0x66) return
      if (input[1] !== 0x75) return
      if (input[2] === 0x7a) throw new Error('found')
    },
  }

  it('finds a fault behind three comparisons by the coverage of each, and makes its input small', async () => {
    const { crash, runs } = await fuzz(three, { seed: 1, corpus: [], guided: true, on: (done) => done < 20_000 })
    assert.equal(crash?.error.message, 'found', `${runs} runs`)
    assert.equal(crash.input.toString(), 'fuz')
  })

  it('finds without coverage what a change of the kept inputs reaches', async () => {
    const corpus = [Buffer.from('fur')]
    const { crash, runs } = await fuzz(three, { seed: 1, corpus, guided: false, on: (done) => done < 20_000 })
    assert.equal(crash?.error.message, 'found', `${runs} runs`)
  })

  it('has an entry point for each kind of hostile bytes', () => {
    const names = TARGETS.map(({ name }) => name)
    assert.deepEqual(names, ['policy', 'config', 'records', 'spool', 'dead-letters', 'otlp', 'kafka', 'grpc', 'http'])
  })

  for (const target of TARGETS) {
    it(`${target.name}: no input of its corpus breaks a promise`, async () => {
      const { inputs, crashes } = corpusOf(target)
      const rows = [...inputs, ...crashes.map(({ input }) => input)].map((text) => bytesOf(target, text))
      const all = [...(await target.seeds()), ...rows]
      assert.ok(all.length >= 3)
      for (const input of all) {
        const started = performance.now()
        await target.run(input)
        assert.ok(performance.now() - started < INPUT_MS, input.toString('latin1'))
      }
    })
  }
})
