/** Numbers of OTLP records, from their attributes. */
import { requestRecords } from '../encoding/otlp/read-record.ts'
import type { NumberedRecord } from './audit.ts'
import { numbersOf } from './envelope.ts'

/** Names of the envelope that differ from the attribute's without its `ktrail.`. */
const NAMES: Readonly<Record<string, string>> = {
  seq: 'log.record.uid',
  'loss.first': 'ktrail.loss.first_exporter_seq',
  'loss.last': 'ktrail.loss.last_exporter_seq',
}

/** The attribute with the value that the envelope has under `name`. */
export function attributeOf(name: string): string {
  return NAMES[name] ?? `ktrail.${name}`
}

/** The records of an ExportLogsServiceRequest. */
export function* readOtlp(request: Buffer, place: string): Generator<NumberedRecord | 'unreadable' | undefined> {
  try {
    for (const { node, timeMs, attributes } of requestRecords(request)) {
      yield numbersOf((name) => attributes.get(attributeOf(name)), { place, node, timeMs })
    }
  } catch {
    yield 'unreadable'
  }
}
