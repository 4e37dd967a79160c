/** A schema of Kubernetes as JSON Schema for editors, which complete keys and mark unknown ones. */
import { NOT_SUPPORTED } from './schema.ts'
import type { Schema } from './schema.ts'

/** Without the words of Kubernetes, and without the keys that ktrail refuses. */
export function editorSchema(schema: Schema): Schema {
  const own = Object.entries(schema).filter(([key]) => !key.startsWith('x-kubernetes-'))
  const { properties, ...rest } = Object.fromEntries(own)
  const made = Object.fromEntries(
    Object.entries(rest).map(([key, value]) => [
      key,
      (key === 'items' || key === 'additionalProperties') && isSchema(value) ? editorSchema(value) : value,
    ]),
  )
  if (!isSchema(properties)) return made
  const known = Object.entries(properties).flatMap(([key, value]) =>
    isSchema(value) && value['description'] !== NOT_SUPPORTED ? [[key, editorSchema(value)] as const] : [],
  )
  return { ...made, properties: Object.fromEntries(known), additionalProperties: false }
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
