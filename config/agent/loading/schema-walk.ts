/** Queries of a zod schema at a path: its keys, and whether it takes a number or a boolean. */
import * as z from 'zod'
import { pathHolds } from '../../base/paths.ts'

type Schema = z.core.$ZodType

/** The schema of the written value: without defaults, optionality and the outer half of a codec. */
function bare(schema: Schema): Schema {
  let inner = schema
  for (;;) {
    if (inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault || inner instanceof z.ZodOptional) {
      inner = inner.unwrap()
    } else if (inner instanceof z.ZodPipe) {
      inner = inner.in
    } else {
      return inner
    }
  }
}

/**
 * The schema of one key of a value. `type`: the value of the mapping's `type` key, which selects the branch of a union. undefined when the
 * schema has no such key.
 */
export function childSchema(schema: Schema | undefined, key: string | number, type: unknown): Schema | undefined {
  if (schema === undefined) return undefined
  const inner = branch(bare(schema), type)
  if (inner instanceof z.ZodObject) return Object.hasOwn(inner.shape, key) ? inner.shape[key] : undefined
  if (inner instanceof z.ZodArray) return inner.element
  if (inner instanceof z.ZodRecord) return inner.valueType
  return undefined
}

/** The allowed keys of a mapping; empty for a free mapping and for other values. */
export function knownKeys(schema: Schema | undefined, type: unknown): string[] {
  const inner = schema === undefined ? undefined : branch(bare(schema), type)
  return inner instanceof z.ZodObject ? Object.keys(inner.shape) : []
}

/** The mapping of a union for this `type`; a mapping without that key, as in "a word or a mapping", takes any. */
function branch(schema: Schema, type: unknown): Schema {
  if (!(schema instanceof z.ZodUnion)) return schema
  const mappings = mappingsOf(schema)
  const typed = mappings.find(({ shape }) => shape['type'] !== undefined && z.safeParse(shape['type'], type).success)
  return typed ?? mappings.find(({ shape }) => shape['type'] === undefined) ?? schema
}

function mappingsOf(schema: Schema): z.ZodObject[] {
  if (schema instanceof z.ZodObject) return [schema]
  return schema instanceof z.ZodUnion ? schema.options.flatMap(mappingsOf) : []
}

/** The values of `type` for which a union has this key. */
export function typesWithKey(schema: Schema | undefined, key: string): string[] {
  if (schema === undefined) return []
  return mappingsOf(bare(schema)).flatMap(({ shape }) => {
    const type: unknown = shape['type']
    return type instanceof z.ZodLiteral && Object.hasOwn(shape, key) ? [String(type.value)] : []
  })
}

/** The purpose of the file that a value of this schema names; undefined when it names none. */
export function placeHoldsAt(schema: Schema | undefined): ReturnType<typeof pathHolds> {
  return schema === undefined ? undefined : pathHolds(bare(schema))
}

/** For substituted values: `text` as a number or boolean if the schema takes one, else unchanged. */
export function retyped(schema: Schema | undefined, text: string): string | number | boolean {
  if (schema === undefined) return text
  const inner = bare(schema)
  const kinds = inner instanceof z.ZodUnion ? inner.options.map(bare) : [inner]
  const takes = (kind: typeof z.ZodNumber | typeof z.ZodBoolean): boolean => kinds.some((each) => each instanceof kind)
  if (/^-?\d{1,15}(\.\d{1,15})?$/.test(text) && takes(z.ZodNumber)) return Number(text)
  if ((text === 'true' || text === 'false') && takes(z.ZodBoolean)) return text === 'true'
  return text
}
