/** The agent's numbers in Prometheus' text format; read when asked for, so that the hot path keeps plain counters. */
import { Counter, Gauge, Registry } from 'prom-client'
import type { Sender } from '../../exporters/index.ts'
import type { Loss } from './losses.ts'

export interface MetricSources {
  readonly build: Readonly<Record<'version' | 'node' | 'kernel', string>>
  /** Events made, by record type; kprobes by policy. */
  readonly events: () => ReadonlyArray<{ type: string; policy: string; count: number }>
  readonly records: () => number
  readonly losses: () => readonly Loss[]
  readonly fallbacks: () => Readonly<Record<string, number>>
  readonly imbalance: () => number
  readonly ringWaiting: () => number
  readonly returnsWaiting: () => number
  readonly processes: () => number
  readonly senders: () => readonly Sender[]
}

const STATES = ['starting', 'healthy', 'retrying', 'hold', 'draining', 'stopped'] as const

export class Metrics {
  readonly #registry = new Registry()

  constructor(sources: MetricSources) {
    this.#gauge('ktrail_build_info', 'What runs; always 1.', ['version', 'node', 'kernel'], (set) =>
      set(sources.build, 1),
    )
    this.#counter('ktrail_events_read_total', 'Events made from ring records.', ['type', 'policy'], (add) => {
      for (const { type, policy, count } of sources.events()) add({ type, policy }, count)
    })
    this.#counter('ktrail_ring_records_total', 'Records read from the ring.', [], (add) => add({}, sources.records()))
    this.#counter('ktrail_kernel_lost_events_total', 'Events that were not seen.', ['hook', 'reason'], (add) => {
      for (const { hook, reason, count } of sources.losses()) add({ hook, reason }, count)
    })
    this.#counter(
      'ktrail_kernel_fallbacks_total',
      'Times the kernel side took a slower way; nothing was lost.',
      ['kind'],
      (add) => {
        for (const [kind, count] of Object.entries(sources.fallbacks())) add({ kind }, count)
      },
    )
    this.#gauge('ktrail_ring_waiting_bytes', 'Bytes that wait in the ring.', [], (set) =>
      set({}, sources.ringWaiting()),
    )
    this.#gauge('ktrail_returns_waiting', 'Calls that matched and have not returned yet.', [], (set) =>
      set({}, sources.returnsWaiting()),
    )
    this.#gauge('ktrail_processes', 'Processes in the table.', [], (set) => set({}, sources.processes()))
    this.#gauge(
      'ktrail_accounting_imbalance_events',
      'What the books do not explain: must be 0 (for the ring: while it is empty).',
      ['exporter'],
      (set) => {
        set({ exporter: 'ring' }, sources.imbalance())
        for (const sender of sources.senders()) set({ exporter: sender.name }, sender.imbalance())
      },
    )
    this.#exporters(sources)
  }

  #exporters({ senders }: MetricSources): void {
    const each = (fill: (name: string, books: ReturnType<Sender['books']>) => void): void => {
      for (const sender of senders()) fill(sender.name, sender.books())
    }
    const name = 'ktrail_exporter'
    this.#counter(`${name}_accepted_events_total`, 'Events taken over.', ['exporter'], (add) =>
      each((exporter, books) => add({ exporter }, books.accepted)),
    )
    this.#counter(`${name}_delivered_events_total`, 'Events that the sink took.', ['exporter'], (add) =>
      each((exporter, books) => add({ exporter }, books.delivered)),
    )
    this.#counter(`${name}_delivered_bytes_total`, 'Their bytes.', ['exporter'], (add) =>
      each((exporter, books) => add({ exporter }, books.deliveredBytes)),
    )
    this.#counter(
      `${name}_rejected_events_total`,
      'Events that the sink refused for good.',
      ['exporter', 'reason'],
      (add) =>
        each((exporter, books) =>
          Object.entries(books.rejected).forEach(([reason, n]) => add({ exporter, reason }, n)),
        ),
    )
    this.#counter(`${name}_dropped_events_total`, 'Events that were given up.', ['exporter', 'reason'], (add) =>
      each((exporter, books) => Object.entries(books.dropped).forEach(([reason, n]) => add({ exporter, reason }, n))),
    )
    this.#counter(`${name}_retries_total`, 'Batches that were tried again.', ['exporter'], (add) =>
      each((exporter, books) => add({ exporter }, books.retries)),
    )
    this.#gauge(`${name}_queue_events`, 'Events held: waiting, being batched and in flight.', ['exporter'], (set) =>
      each((exporter, books) => set({ exporter }, books.heldEvents)),
    )
    this.#gauge(`${name}_queue_bytes`, 'Their bytes.', ['exporter'], (set) =>
      each((exporter, books) => set({ exporter }, books.heldBytes)),
    )
    this.#gauge(`${name}_state`, '1 for the state it is in.', ['exporter', 'state'], (set) =>
      each((exporter, books) => STATES.forEach((state) => set({ exporter, state }, books.state === state ? 1 : 0))),
    )
    this.#counter(`${name}_own_total`, 'What only this kind of sink counts.', ['exporter', 'what'], (add) => {
      for (const sender of senders()) {
        for (const [what, n] of Object.entries(sender.exporter.counters ?? {})) add({ exporter: sender.name, what }, n)
      }
    })
  }

  #counter(
    name: string,
    help: string,
    labelNames: string[],
    fill: (add: (labels: Readonly<Record<string, string>>, n: number) => void) => void,
  ): void {
    const counter = new Counter({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect: () => {
        counter.reset()
        fill((labels, n) => counter.inc({ ...labels }, n))
      },
    })
  }

  #gauge(
    name: string,
    help: string,
    labelNames: string[],
    fill: (set: (labels: Readonly<Record<string, string>>, n: number) => void) => void,
  ): void {
    const gauge = new Gauge({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect: () => {
        gauge.reset()
        fill((labels, n) => gauge.set({ ...labels }, n))
      },
    })
  }

  text(): Promise<string> {
    return this.#registry.metrics()
  }

  get contentType(): string {
    return this.#registry.contentType
  }
}
