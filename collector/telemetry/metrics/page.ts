/** A page of metrics in Prometheus' text format. Values are read when the page is requested, so the hot path only keeps plain counters. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { HistogramCounts } from '../../../exporters/index.ts'

export type Labels = Readonly<Record<string, string>>
type Put<T> = (labels: Labels, value: T) => void
/** Puts every sample of one metric, each with different labels. */
export type Fill<T> = (put: Put<T>) => void

/** A metric without its samples. */
export interface Family {
  readonly name: string
  readonly help: string
  readonly labelNames: readonly string[]
}

export class MetricsPage {
  readonly families: Family[] = []
  readonly #registry = new Registry()

  counter(name: string, help: string, labelNames: readonly string[], fill: Fill<number>): void {
    this.#add(Counter, { name, help, labelNames }, fill)
  }

  gauge(name: string, help: string, labelNames: readonly string[], fill: Fill<number>): void {
    this.#add(Gauge, { name, help, labelNames }, fill)
  }

  #add(Type: typeof Counter | typeof Gauge, family: Family, fill: Fill<number>): void {
    this.families.push(family)
    const metric = new Type({
      ...family,
      labelNames: [...family.labelNames],
      registers: [this.#registry],
      collect: () => {
        metric.reset()
        fill((labels, n) => metric.inc({ ...labels }, n))
      },
    })
  }

  histogram(name: string, help: string, labelNames: readonly string[], fill: Fill<HistogramCounts>): void {
    this.families.push({ name, help, labelNames })
    this.#registry.registerMetric(new CountsMetric(name, help, labelNames, fill))
  }

  text(): Promise<string> {
    return this.#registry.metrics()
  }

  get contentType(): string {
    return this.#registry.contentType
  }
}

/**
 * A histogram whose counts are kept elsewhere; prom-client's own only takes single values. The registry calls `getForPromString` of a
 * histogram, although prom-client's types do not declare it; a test reads the page.
 */
class CountsMetric extends Histogram {
  readonly #name: string
  readonly #fill: Fill<HistogramCounts>
  /** Supplies the fields that are the same in every answer. */
  readonly #empty: Histogram

  constructor(name: string, help: string, labelNames: readonly string[], fill: Fill<HistogramCounts>) {
    const options = { name, help, labelNames: [...labelNames], registers: [] }
    super(options)
    this.#name = name
    this.#fill = fill
    this.#empty = new Histogram(options)
  }

  async getForPromString(): ReturnType<Histogram['get']> {
    const name = this.#name
    const values: Array<{ metricName: string; labels: Record<string, string | number>; value: number }> = []
    this.#fill((labels, { bounds, counts, sum }) => {
      let below = 0
      for (const [i, count] of counts.entries()) {
        below += count
        values.push({ metricName: `${name}_bucket`, labels: { ...labels, le: bounds[i] ?? '+Inf' }, value: below })
      }
      values.push({ metricName: `${name}_sum`, labels: { ...labels }, value: sum })
      values.push({ metricName: `${name}_count`, labels: { ...labels }, value: below })
    })
    return { ...(await this.#empty.get()), values }
  }
}
