/** `node config/agent/write-schema.ts` writes config/schema.json anew; run `npm run format` after it. */
import { writeFileSync } from 'node:fs'
import { configJsonSchema } from './json-schema.ts'

writeFileSync(new URL('../schema.json', import.meta.url), `${JSON.stringify(configJsonSchema(), null, 2)}\n`)
