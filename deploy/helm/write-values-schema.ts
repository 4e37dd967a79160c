/** `node deploy/helm/write-values-schema.ts` writes the agent's config into the chart's values.schema.json anew; run `npm run format` after it. */
import { readFileSync, writeFileSync } from 'node:fs'
import { isMapping } from '../../config/base/parsed.ts'
import { configJsonSchema } from '../../config/agent/json-schema.ts'

type Json = { readonly [key: string]: Json } | readonly Json[] | string | number | boolean | null
type Schema = Readonly<Record<string, Json>>

const FILE = new URL('ktrail/values.schema.json', import.meta.url)
/** The agent replaces references before it checks a value. */
const REFERENCE: Schema = { type: 'string', pattern: '\\$\\{' }
/** Helm only checks: descriptions are left out, and a reference does not have the format of its value. */
const LEFT_OUT = new Set(['description', 'default', 'format', '$schema'])
const CHECKED = ['enum', 'pattern', 'minLength']

const EXPORTERS: Schema = { $ref: '#/$defs/exporters' }

/** Go's regular expressions lack look-around. */
const LOOK_AROUND = /\(\?[=!<]/

/** Schemas as helm gets them: a value that is no plain text may be a reference. Schemas of objects are shared, by the name of their key. */
class HelmSchemas {
  readonly defs: Record<string, Json> = {}

  of(schema: Json, name: string): Json {
    if (Array.isArray(schema)) return schema.map((each: Json) => this.of(each, name))
    if (!isMapping(schema)) return schema
    const made: Schema = Object.fromEntries(
      Object.entries(schema)
        .filter(([key, value]) => !LEFT_OUT.has(key) && !(key === 'pattern' && LOOK_AROUND.test(String(value))))
        .map(([key, value]) => [key, this.#keyword(key, value, name)]),
    )
    if ('properties' in made) return this.#shared(made, name)
    if ('const' in made) return made
    const isScalar = ['integer', 'number', 'boolean'].some((type) => made['type'] === type)
    const isText = made['type'] === 'string' && CHECKED.some((word) => word in made)
    return isScalar || isText ? { anyOf: [made, REFERENCE] } : made
  }

  #keyword(key: string, value: Json, name: string): Json {
    // A name is no reference.
    if (key === 'propertyNames' || !isMapping(value)) return Array.isArray(value) ? this.of(value, name) : value
    if (key !== 'properties') return this.of(value, name)
    return Object.fromEntries(Object.entries(value).map(([own, schema]) => [own, this.of(schema, own)]))
  }

  #shared(made: Schema, name: string): Json {
    const text = JSON.stringify(made)
    const free = (number: number): string => {
      const key = number === 1 ? name : `${name}${number}`
      return this.defs[key] === undefined || JSON.stringify(this.defs[key]) === text ? key : free(number + 1)
    }
    const key = free(1)
    this.defs[key] = made
    return { $ref: `#/$defs/${key}` }
  }
}

const namesOf = (schema: Json | undefined): Json => propertyOf(schema, 'type')

/** Chosen by type, so that helm names the wrong key of one type instead of all types that do not fit. */
function exportersOf(exporters: Schema, schemas: HelmSchemas): Schema {
  const [builtIn, ofPackages] = unionOf(exporters['additionalProperties'])
  const types = unionOf(builtIn)
  const whole = [...types, ofPackages].filter((each) => isMapping(each))
  const decided = whole.map((schema) => ({
    if: { type: 'object', properties: { type: namesOf(schema) }, required: ['type'] },
    // oxlint-disable-next-line unicorn/no-thenable -- a keyword of JSON Schema
    then: schemas.of(schema, 'exporter'),
  }))
  const constants = types.map((schema) => propertyOf(namesOf(schema), 'const'))
  const names = { anyOf: [{ enum: constants }, namesOf(ofPackages)] }
  return {
    type: 'object',
    minProperties: 1,
    propertyNames: exporters['propertyNames'] ?? {},
    // null removes an exporter.
    additionalProperties: { type: ['object', 'null'], required: ['type'], properties: { type: names }, allOf: decided },
  }
}

function unionOf(schema: Json | undefined): readonly Json[] {
  const union = isMapping(schema) ? (schema['anyOf'] ?? schema['oneOf']) : undefined
  if (!Array.isArray(union))
    throw new Error('config/schema.json: expected exporters of several types, got another form')
  return union
}

function propertyOf(schema: Json | undefined, name: string): Json {
  if (!isMapping(schema)) return {}
  const { properties } = schema
  return (isMapping(properties) ? properties[name] : schema[name]) ?? {}
}

/** The part `$defs` of the file, which follows from the config. */
export function configDefinitions(): Schema {
  const whole: Schema = JSON.parse(JSON.stringify(configJsonSchema()))
  const properties = isMapping(whole['properties']) ? whole['properties'] : {}
  const { exporters, ...others } = properties
  if (!isMapping(exporters)) throw new Error('config/schema.json: expected the key exporters, got none')
  const schemas = new HelmSchemas()
  const keys = Object.fromEntries(Object.entries(others).map(([key, schema]) => [key, schemas.of(schema, key)]))
  const config = { type: 'object', additionalProperties: false, properties: { ...keys, exporters: EXPORTERS } }
  return { exporters: exportersOf(exporters, schemas), config, ...schemas.defs }
}

if (import.meta.main) {
  const [others = ''] = readFileSync(FILE, 'utf8').split(/,\n {2}"\$defs"|\n\}\n$/, 1)
  writeFileSync(FILE, `${others},\n  "$defs": ${JSON.stringify(configDefinitions())}\n}\n`)
}
