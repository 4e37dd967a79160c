/** A page of metrics in Prometheus' text format. Values are read when the page is requested, so the hot path only keeps plain counters. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { HistogramCounts } from '../../../exporters/index.ts'
import families from './families.json' with { type: 'json' }

export type Labels = Readonly<Record<string, string>>
/** Puts every sample of one metric, each with different labels. */
export type Fill<T = number> = (put: (labels: Labels, value: T) => void) => void

type Name = keyof typeof families
type Value<N extends Name> = (typeof families)[N] extends { readonly histogram: string } ? HistogramCounts : number
/** Metrics of families.json by name. */
export type Fills = { readonly [N in Name]: Fill<Value<N>> }
/** Metrics whose names begin like this. */
export type FillsOf<Prefix extends string> = Pick<Fills, Extract<Name, `${Prefix}${string}`>>

/** A metric without its samples. */
interface Family {
  readonly name: string
  readonly help: string
  readonly labelNames: string[]
}

export class MetricsPage {
  readonly families: Family[] = []
  readonly #registry = new Registry()

  /** Has the metrics of `fills`, in the order of families.json. */
  constructor(fills: { readonly [N in Name]?: Fills[N] | undefined }) {
    for (const [name, { labels: labelNames, ...family }] of Object.entries(families)) {
      const fill = fills[name as Name]
      if (fill === undefined) continue
      if ('histogram' in family)
        this.#addHistogram({ name, help: family.histogram, labelNames }, fill as Fill<HistogramCounts>)
      else if ('gauge' in family) this.#add(Gauge, { name, help: family.gauge, labelNames }, fill as Fill)
      else this.#add(Counter, { name, help: family.counter, labelNames }, fill as Fill)
    }
  }

  #add(Type: typeof Counter | typeof Gauge, family: Family, fill: Fill): void {
    this.families.push(family)
    const metric = new Type({
      ...family,
      registers: [this.#registry],
      collect: () => {
        metric.reset()
        fill((labels, n) => metric.inc({ ...labels }, n))
      },
    })
  }

  #addHistogram(family: Family, fill: Fill<HistogramCounts>): void {
    this.families.push(family)
    this.#registry.registerMetric(new CountsMetric(family, fill))
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

  constructor(family: Family, fill: Fill<HistogramCounts>) {
    super({ ...family, registers: [] })
    this.#name = family.name
    this.#fill = fill
    this.#empty = new Histogram({ ...family, registers: [] })
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
