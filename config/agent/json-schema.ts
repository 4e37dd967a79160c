/** JSON Schema (2020-12) for editors. */
import * as z from 'zod'
import { isMapping } from '../base/parsed.ts'
import { configSchema } from './schema.ts'

/** The schema of the config file as people write it. `config/schema.json` is its copy, with repeated parts in `$defs`. */
export function configJsonSchema(): Record<string, unknown> {
  return { ...z.toJSONSchema(configSchema, { io: 'input' }) }
}

type Json = { readonly [key: string]: Json } | readonly Json[] | string | number | boolean | null
type Schema = Readonly<Record<string, Json>>

/** Keywords with one schema or a list of schemas; `properties` has them by name. Other keywords have values, such as `default`. */
const SCHEMAS = ['items', 'additionalProperties', 'propertyNames', 'anyOf', 'oneOf', 'allOf']
/** Shortest text of a part that is moved: a reference takes three lines. */
const SHORTEST = 200

/** The schema with each part that occurs twice or more in `$defs`, by the name of the key that has it first. */
export function withSharedParts(schema: object): Schema {
  const whole: Schema = JSON.parse(JSON.stringify(schema))
  const seen = new Map<string, number>()
  mapped(whole, (part) => {
    const text = JSON.stringify(part)
    const times = (seen.get(text) ?? 0) + 1
    seen.set(text, times)
    return times === 1 ? undefined : part
  })
  const names = new Map<string, string>()
  const defs: Record<string, Json> = {}
  const shared = (part: Schema, name: string): Json | undefined => {
    const text = JSON.stringify(part)
    if (text.length < SHORTEST || seen.get(text) === 1) return undefined
    if (!names.has(text)) {
      let free = name
      for (let n = 2; defs[free] !== undefined; n++) free = `${name}${n}`
      names.set(text, free)
      defs[free] = {}
      defs[free] = mapped(part, shared, name)
    }
    return { $ref: `#/$defs/${names.get(text)}` }
  }
  return { ...mapped(whole, shared), $defs: defs }
}

/** The schema with `change` of each part, by the name of its key; undefined: the part itself, with its own parts changed. */
function mapped(schema: Schema, change: (part: Schema, name: string) => Json | undefined, name = 'part'): Schema {
  const one = (part: Json, key: string): Json =>
    isMapping(part) ? (change(part, key) ?? mapped(part, change, key)) : part
  return Object.fromEntries(
    Object.entries(schema).map(([word, value]): [string, Json] => {
      if (word === 'properties' && isMapping(value))
        return [word, Object.fromEntries(Object.entries(value).map(([key, part]) => [key, one(part, key)]))]
      if (!SCHEMAS.includes(word)) return [word, value]
      return [word, Array.isArray(value) ? value.map((part: Json) => one(part, name)) : one(value, name)]
    }),
  )
}
