/** A point of a series: when, in any unit, and how much. */
export interface Point {
  readonly x: number
  readonly y: number
}

/** Slope of the line that fits best by least squares, y per x, and its standard error. NaN for fewer than three points. */
export function slopeOf(points: readonly Point[]): { readonly slope: number; readonly error: number } {
  const n = points.length
  if (n < 3) return { slope: Number.NaN, error: Number.NaN }
  const meanX = points.reduce((sum, { x }) => sum + x, 0) / n
  const meanY = points.reduce((sum, { y }) => sum + y, 0) / n
  let xx = 0
  let xy = 0
  for (const { x, y } of points) {
    xx += (x - meanX) ** 2
    xy += (x - meanX) * (y - meanY)
  }
  const slope = xy / xx
  const rest = points.reduce((sum, { x, y }) => sum + (y - meanY - slope * (x - meanX)) ** 2, 0)
  return { slope, error: Math.sqrt(rest / (n - 2) / xx) }
}
