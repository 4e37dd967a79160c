/** Findings of `ktrail audit` in the records of an OTLP sink. */
import assert from 'node:assert/strict'
import { Audit } from '../../../exporters/audit/audit.ts'
import type { StreamReport } from '../../../exporters/audit/audit.ts'
import { numbersOf } from '../../../exporters/audit/envelope.ts'
import { attributeOf } from '../../../exporters/audit/otlp.ts'
import type { LogsRequest } from './decode.ts'

export class AuditedRecords {
  readonly #audit = new Audit()
  readonly #place: string

  /** `place`: NO_ORDER for a sink that gets several requests at a time. */
  constructor(place = 'requests') {
    this.#place = place
  }

  /** Records that the sink has stored; all must have numbers. */
  add(records: LogsRequest['records']): void {
    for (const record of records) {
      const attributes = new Map(record.attributes.map(({ key, value }) => [key, Object.values(value).join('')]))
      const about = { place: this.#place, node: 'node-1', timeMs: Number(record.timeUnixNano) / 1e6 }
      const numbered = numbersOf((name) => attributes.get(attributeOf(name)), about)
      this.#audit.add(numbered ?? assert.fail('a record without numbers'))
    }
  }

  report(): StreamReport[] {
    return this.#audit.report({ nowMs: Date.now(), partial: false })
  }
}

/** Numbers that neither a record nor a loss record has, and records that came more than once or late, over all runs of all streams. */
export function sumOf(streams: readonly StreamReport[]): {
  readonly records: number
  readonly untold: readonly number[]
  readonly twice: number
  readonly outOfOrder: number
} {
  const runs = streams.flatMap((stream) => stream.runs)
  const sum = (count: (run: (typeof runs)[number]) => number): number => runs.reduce((all, run) => all + count(run), 0)
  return {
    records: sum(({ records }) => records),
    untold: runs.flatMap(({ untold }) =>
      untold.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, i) => first + i)),
    ),
    twice: sum(({ twice }) => twice),
    outOfOrder: sum(({ outOfOrder }) => outOfOrder),
  }
}
