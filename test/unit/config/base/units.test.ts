import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { duration, formatDuration, formatSize, parseDuration, parseSize, size } from '../../../../config/base/units.ts'

describe('durations', () => {
  for (const [input, want] of [
    ['0ms', 0],
    ['200ms', 200],
    ['10s', 10_000],
    ['1.5s', 1500],
    ['1.001s', 1001],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['6d', 518_400_000],
    ['10', undefined],
    ['', undefined],
    ['s', undefined],
    ['-1s', undefined],
    ['10 s', undefined],
    ['10S', undefined],
    ['1h30m', undefined],
    ['0.5ms', undefined],
    ['1e3s', undefined],
    ['9'.repeat(400) + 's', undefined],
  ] as const) {
    it(`reads ${JSON.stringify(input.slice(0, 20))} as ${want}`, () => assert.equal(parseDuration(input), want))
  }

  it('reads back what it writes', () => {
    fc.assert(fc.property(fc.nat(), (ms) => assert.equal(parseDuration(formatDuration(ms)), ms)))
  })

  it('reports the range if out of bounds, the form if malformed', () => {
    const schema = duration(1000, 60_000)
    const message = (input: unknown): string | undefined => schema.safeParse(input).error?.issues[0]?.message
    assert.equal(schema.parse('1m'), 60_000)
    assert.equal(message('999ms'), 'expected a duration from 1s to 1m')
    assert.equal(message('2m'), 'expected a duration from 1s to 1m')
    assert.equal(message('soon'), 'expected a duration such as 200ms, 10s, 5m or 6d')
    assert.equal(message(10), 'expected a duration such as 200ms, 10s, 5m or 6d')
  })
})

describe('sizes', () => {
  for (const [input, want] of [
    ['0B', 0],
    ['512B', 512],
    ['64KiB', 65_536],
    ['64MiB', 67_108_864],
    ['1.5MiB', 1_572_864],
    ['1GB', 1_000_000_000],
    ['1.07GB', 1_070_000_000],
    ['1kB', 1000],
    ['1KB', 1000],
    ['2TiB', 2_199_023_255_552],
    ['64', undefined],
    ['64M', undefined],
    ['64mb', undefined],
    ['64 MiB', undefined],
    ['-1MiB', undefined],
    ['0.3B', undefined],
    ['999999999999999TiB', undefined],
  ] as const) {
    it(`reads ${JSON.stringify(input)} as ${want}`, () => assert.equal(parseSize(input), want))
  }

  it('reads back what it writes', () => {
    const bytes = fc.oneof(
      fc.maxSafeNat(),
      fc.nat(4096).map((n) => n * 1024),
      fc.nat(4096).map((n) => n * 1_000_000),
    )
    fc.assert(fc.property(bytes, (value) => assert.equal(parseSize(formatSize(value)), value)))
  })

  it('writes the largest unit that is exact', () => {
    assert.deepEqual([67_108_864, 1_000_000_000, 1025, 0].map(formatSize), ['64MiB', '1GB', '1025B', '0B'])
  })

  it('refuses values out of bounds', () => {
    assert.equal(size(1024, 2048).safeParse('1MiB').error?.issues[0]?.message, 'expected a size from 1KiB to 2KiB')
  })
})
