import type { AttributeValue } from './records.ts'

/** One record of encoding `otlp_json`, parsed. */
export interface JsonRecord {
  readonly timeUnixNano: string
  readonly observedTimeUnixNano: string
  readonly severityNumber: number
  readonly severityText: string
  /** Absent in spools of earlier versions where it would be empty. */
  readonly body?: { readonly stringValue?: string }
  readonly eventName: string
  readonly attributes: ReadonlyArray<{ readonly key: string; readonly value: JsonValue }>
}

interface JsonValue {
  readonly stringValue?: string
  readonly intValue?: number
  readonly arrayValue?: { readonly values: readonly JsonValue[] }
}

/** What an attribute's value was before it was encoded. */
export function plainValue({ stringValue, intValue, arrayValue }: JsonValue): AttributeValue {
  return stringValue ?? intValue ?? (arrayValue?.values ?? []).map((value) => value.stringValue ?? '')
}
