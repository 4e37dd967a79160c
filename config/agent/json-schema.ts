import * as z from 'zod'
import { configSchema } from './schema.ts'

/** JSON Schema (2020-12) of the config file as people write it, for editors. `config/schema.json` is its copy. */
export function configJsonSchema(): Record<string, unknown> {
  return { ...z.toJSONSchema(configSchema, { io: 'input' }) }
}
