/** The answers of `ktrail policy estimate`. */
import { counted } from '../../../config/base/counts.ts'
import { dataSize, shortened, table } from '../format.ts'
import type { Forecast } from './forecast.ts'

/** CPU of the agent for an event to an OTLP sink, at 5,000 events/s (docs/reference/performance.md). */
export const CPU_US_PER_EVENT = 12
const MOST_SHOWN = 10

interface Share {
  readonly name: string
  readonly rate: number
}

/** Paths or programs with the most events per second. */
export function hottest(forecasts: readonly Forecast[], of: 'paths' | 'programs'): Share[] {
  const rates = new Map<string, number>()
  for (const forecast of forecasts)
    for (const { key, total } of forecast[of].list()) rates.set(key, (rates.get(key) ?? 0) + forecast.rate(total))
  return [...rates]
    .map(([name, rate]) => ({ name, rate }))
    .toSorted((a, b) => b.rate - a.rate)
    .slice(0, MOST_SHOWN)
}

interface Prediction {
  readonly name: string
  readonly events: number
  readonly bytes: number
  /** Percent of a core. */
  readonly cpu: number
}

const predictionOf = (forecast: Forecast): Prediction => {
  const events = forecast.rate(forecast.events)
  return {
    name: forecast.name,
    events,
    bytes: forecast.rate(forecast.bytes),
    cpu: (events * CPU_US_PER_EVENT) / 10_000,
  }
}

const rateText = (rate: number): string => (rate < 10 ? rate.toFixed(1) : counted(Math.round(rate)))

export function predictedText(forecasts: readonly Forecast[], columns?: number): string {
  const all = forecasts.map(predictionOf)
  const sum = (of: 'events' | 'bytes' | 'cpu'): number => all.reduce((total, each) => total + each[of], 0)
  if (all.length > 1) all.push({ name: 'together', events: sum('events'), bytes: sum('bytes'), cpu: sum('cpu') })
  const rows = all.map(({ name, events, bytes, cpu }) => ({
    cells: [shortened(name, 36), rateText(events), `${dataSize(bytes)}/s`, `${cpu.toFixed(1)} %`],
  }))
  const shares = (title: string, of: 'paths' | 'programs'): string => {
    const hot = hottest(forecasts, of).map(({ name, rate }) => ({ cells: [rateText(rate), shortened(name, 68)] }))
    return hot.length === 0 ? '' : `\n${table(['EVENTS/S', title], hot, [0], columns)}`
  }
  const predicted = table(['POLICY', 'EVENTS/S', 'JSON LINES', 'AGENT CPU'], rows, [1, 2, 3], columns)
  return `${predicted}${shares('PATH', 'paths')}${shares('PROGRAM', 'programs')}`
}

export function predictedData(forecasts: readonly Forecast[]): object {
  const shares = (of: 'paths' | 'programs', key: string): object[] =>
    hottest(forecasts, of).map(({ name, rate }) => ({ [key]: name, events_per_second: rate }))
  const policies = forecasts.map((forecast) => {
    const { name, events, bytes, cpu } = predictionOf(forecast)
    return { name, seconds: forecast.seconds, events_per_second: events, bytes_per_second: bytes, cpu_percent: cpu }
  })
  return { policies, paths: shares('paths', 'path'), programs: shares('programs', 'program') }
}
