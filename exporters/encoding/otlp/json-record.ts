import type { AttributeValue } from './records.ts'

/** A parsed record of encoding `otlp_json`. */
export interface JsonRecord {
  readonly timeUnixNano: string
  readonly observedTimeUnixNano: string
  readonly severityNumber: number
  readonly severityText: string
  /** Spools of earlier versions omit an empty body. */
  readonly body?: { readonly stringValue?: string }
  readonly eventName: string
  readonly attributes: ReadonlyArray<{ readonly key: string; readonly value: JsonValue }>
}

interface JsonValue {
  readonly stringValue?: string
  readonly intValue?: number
  readonly boolValue?: boolean
  readonly arrayValue?: { readonly values: readonly JsonValue[] }
}

/** The attribute value before encoding. */
export function plainValue({ stringValue, intValue, boolValue, arrayValue }: JsonValue): AttributeValue {
  return stringValue ?? intValue ?? boolValue ?? (arrayValue?.values ?? []).map((value) => value.stringValue ?? '')
}
