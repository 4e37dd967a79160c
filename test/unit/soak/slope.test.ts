import assert from 'node:assert/strict'
import { it } from 'node:test'
import { slopeOf } from '../../soak/slope.ts'

const points = (...ys: number[]): { x: number; y: number }[] => ys.map((y, x) => ({ x, y }))

for (const { name, ys, slope, error } of [
  { name: 'a line', ys: [5, 7, 9, 11], slope: 2, error: 0 },
  { name: 'a level', ys: [3, 3, 3], slope: 0, error: 0 },
  { name: 'a fall', ys: [3, 2, 1], slope: -1, error: 0 },
  // By hand: means 1.5 and 3.75, Sxy 6.5, Sxx 5, residuals 0.2, -0.1, -0.4, 0.3.
  { name: 'noise', ys: [2, 3, 4, 6], slope: 1.3, error: Math.sqrt(0.3 / 2 / 5) },
]) {
  it(`slope: of ${name}`, () => {
    const found = slopeOf(points(...ys))
    assert.ok(Math.abs(found.slope - slope) < 1e-12, `slope ${found.slope}`)
    assert.ok(Math.abs(found.error - error) < 1e-12, `error ${found.error}`)
  })
}

it('slope: of two points is NaN, and NaN meets no bound', () => {
  const { slope } = slopeOf(points(1, 2))
  assert.ok(Number.isNaN(slope))
  assert.ok(!(slope <= 1))
})
