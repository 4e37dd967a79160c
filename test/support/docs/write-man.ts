/** Writes docs/reference/ktrail.1. */
import { writeFileSync } from 'node:fs'
import { KTRAIL } from '../../../collector/cli/table/table.ts'
import { manPage } from './man.ts'

writeFileSync(new URL('../../../docs/reference/ktrail.1', import.meta.url), manPage(KTRAIL))
