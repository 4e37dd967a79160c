/** A schema of Kubernetes as JSON Schema for editors, which complete keys and mark unknown ones. */
import { isMapping } from '../../config/base/parsed.ts'
import { NOT_SUPPORTED } from './schema.ts'
import type { Schema } from './schema.ts'

/** Without the words of Kubernetes, and without the keys that ktrail refuses. */
export function editorSchema(schema: Schema): Schema {
  const own = Object.entries(schema).filter(([key]) => !key.startsWith('x-kubernetes-'))
  const { properties, ...rest } = Object.fromEntries(own)
  const made = Object.fromEntries(
    Object.entries(rest).map(([key, value]) => [
      key,
      (key === 'items' || key === 'additionalProperties') && isMapping(value) ? editorSchema(value) : value,
    ]),
  )
  if (!isMapping(properties)) return made
  const known = Object.entries(properties).flatMap(([key, value]) =>
    isMapping(value) && value['description'] !== NOT_SUPPORTED ? [[key, editorSchema(value)] as const] : [],
  )
  return { ...made, properties: Object.fromEntries(known), additionalProperties: false }
}
