/** `node test/support/docs/write-schema.ts` writes config/schema.json and the tables of docs/reference/configuration.md anew; run `npm run format` after it. */
import { readFileSync, writeFileSync } from 'node:fs'
import { configJsonSchema, withSharedParts } from '../../../config/agent/json-schema.ts'
import { configReference } from './reference.ts'

const PAGE = new URL('../../../docs/reference/configuration.md', import.meta.url)
const BETWEEN_MARKS = /(?<=<!-- keys:begin -->\n).*(?=<!-- keys:end -->)/s

writeFileSync(
  new URL('../../../config/schema.json', import.meta.url),
  `${JSON.stringify(withSharedParts(configJsonSchema()), null, 2)}\n`,
)
writeFileSync(
  PAGE,
  readFileSync(PAGE, 'utf8').replace(BETWEEN_MARKS, () => `\n${configReference()}\n\n`),
)
