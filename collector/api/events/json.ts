/** Messages as JSON in the order of the .proto file, which is that of Tetragon's records and of ktrail's JSON lines. */
import { createRegistry, toJson } from '@bufbuild/protobuf'
import type { DescField, DescMessage, JsonValue } from '@bufbuild/protobuf'
import { isMapping } from '../../../config/base/parsed.ts'
import { GetEventsResponseSchema } from '../../proto/tetragon/events_pb.js'
import type { GetEventsResponse } from '../../proto/tetragon/events_pb.js'

/** One line without its end. */
export function jsonLine(response: GetEventsResponse): string {
  const json = toJson(GetEventsResponseSchema, response, { useProtoFieldName: true, registry: createRegistry() })
  return JSON.stringify(ordered(GetEventsResponseSchema, json))
}

/** The library orders keys by number; they are put in order of declaration. */
function ordered(schema: DescMessage, json: JsonValue): JsonValue {
  // Well-known types have a form of their own.
  if (!isMapping(json) || schema.typeName.startsWith('google.protobuf.')) return json
  const result: Record<string, JsonValue> = {}
  for (const field of schema.fields) {
    const value = json[field.name]
    if (value !== undefined) result[field.name] = orderedField(field, value)
  }
  return result
}

function orderedField(field: DescField, value: JsonValue): JsonValue {
  const { message } = field
  if (message === undefined) return value
  if (field.fieldKind === 'list' && Array.isArray(value)) return value.map((each) => ordered(message, each))
  if (field.fieldKind === 'map' && isMapping(value)) {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, ordered(message, each)]))
  }
  return ordered(message, value)
}
