/** Questions about a zod schema at a path: which keys it takes there, and whether it wants a number or a boolean. */
import { z } from 'zod'
import { pathHolds } from '../../yaml/paths.ts'

type Schema = z.core.$ZodType

/** Without defaults, optionality and the outer half of a codec: what a user writes there. */
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
 * The schema below `schema` for one key of a value. `type` is the value of the mapping's `type` key, which picks the
 * branch of a union. undefined when the schema has nothing there.
 */
export function childSchema(schema: Schema | undefined, key: string | number, type: unknown): Schema | undefined {
  if (schema === undefined) return undefined
  const inner = branch(bare(schema), type)
  if (inner instanceof z.ZodObject) return Object.hasOwn(inner.shape, key) ? inner.shape[key] : undefined
  if (inner instanceof z.ZodArray) return inner.element
  if (inner instanceof z.ZodRecord) return inner.valueType
  return undefined
}

/** The keys a mapping may have; empty when it is free or no mapping. */
export function knownKeys(schema: Schema | undefined, type: unknown): string[] {
  const inner = schema === undefined ? undefined : branch(bare(schema), type)
  return inner instanceof z.ZodObject ? Object.keys(inner.shape) : []
}

/** Of a union the mapping that takes this `type`; one that has no such key, as in "a word or a mapping", takes any. */
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

/** What the file holds that a value of this schema names; undefined when it names none. */
export function placeHoldsAt(schema: Schema | undefined): ReturnType<typeof pathHolds> {
  return schema === undefined ? undefined : pathHolds(bare(schema))
}

/** `text` as the number or boolean the schema wants, else unchanged: for values that came out of a substitution. */
export function retyped(schema: Schema | undefined, text: string): string | number | boolean {
  const inner = schema === undefined ? undefined : bare(schema)
  if (inner instanceof z.ZodNumber && /^-?\d{1,15}(\.\d{1,15})?$/.test(text)) return Number(text)
  if (inner instanceof z.ZodBoolean && (text === 'true' || text === 'false')) return text === 'true'
  return text
}
