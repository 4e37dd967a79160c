/** The file that every exporter may have for events that its sink refuses for good. */
import { z } from 'zod'
import { pathSchema } from '../../yaml/paths.ts'
import { size } from '../../yaml/units.ts'

const KIB = 1024
const MIB = 1024 * KIB

export const deadLetter = z
  .strictObject({
    path: pathSchema('The file, readable by its owner only; no other exporter may use it.'),
    max_size: size(4 * KIB, 1024 * 1024 * MIB)
      .prefault('16MiB')
      .describe('The file is renamed and a new one begun before a line would make it larger.'),
    max_files: z.int().min(1).max(10_000).default(3).describe('Renamed files that are kept; the oldest goes first.'),
  })
  .describe(
    'A file for events that the sink refuses for good, one JSON object a line, with the reason and what the sink said; ' +
      'none when absent. A batch is done when its lines are written. They are counted as rejected with and without this file, and as dropped ' +
      '(dead_letter_failed) where it has had no room for five seconds. file and stdout refuse nothing.',
  )
