/** The optional file of each exporter for events that its sink rejects for good. */
import * as z from 'zod'
import { pathSchema } from '../../base/paths.ts'
import { KIB, MIB, size } from '../../base/units.ts'

export const deadLetter = z
  .strictObject({
    path: pathSchema('Path of the file. Only its owner can read it, and no other exporter may use it.', 'output'),
    max_size: size(4 * KIB, 1024 * 1024 * MIB)
      .prefault('16MiB')
      .describe('Size at which the file is rotated, before the next line would exceed it.'),
    max_files: z
      .int()
      .min(1)
      .max(10_000)
      .default(3)
      .describe('Number of rotated files to keep; the oldest is deleted first.'),
  })
  .describe(
    'File for rejected events: one JSON object a line, with the reason and the answer of the sink. The ' +
      'exporter waits until these lines are written. If the file cannot be written for five seconds, it drops the events and ' +
      'counts them as dead_letter_failed. The types file and stdout reject nothing. Default: none; rejected events are only counted.',
  )
