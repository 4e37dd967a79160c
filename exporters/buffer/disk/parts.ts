/** Parts of one spool that its other parts share. */
import type { Mutex } from '../../../config/base/mutex.ts'
import type { Clock } from '../../../config/base/time/clock.ts'
import type { Catalog } from './catalog.ts'
import type { SpoolFiles } from './files/files.ts'
import type { Tally } from './tally.ts'

export interface SpoolParts {
  readonly files: SpoolFiles
  readonly clock: Clock
  readonly catalog: Catalog
  readonly tally: Tally
  /** Held during appends. */
  readonly mutex: Mutex
}
