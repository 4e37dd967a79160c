/** The optional file of each exporter for events that its sink rejects for good. */
import { z } from 'zod'
import { pathSchema } from '../../base/paths.ts'
import { KIB, MIB, size } from '../../base/units.ts'

export const deadLetter = z
  .strictObject({
    path: pathSchema('The file. Only its owner can read it, and no other exporter may use it.'),
    max_size: size(4 * KIB, 1024 * 1024 * MIB)
      .prefault('16MiB')
      .describe('The file is rotated before a line would make it larger.'),
    max_files: z
      .int()
      .min(1)
      .max(10_000)
      .default(3)
      .describe('Rotated files that are kept; the oldest is deleted first.'),
  })
  .describe(
    'A file for events that the sink rejected: one JSON object a line, with the reason and the answer of the sink. The ' +
      'exporter waits until these lines are written. If the file cannot be written for five seconds, it drops the events and ' +
      'counts them as dead_letter_failed. file and stdout reject nothing. Default: none; rejected events are only counted.',
  )
