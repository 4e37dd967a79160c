import * as z from 'zod'
import { flag } from '../filtering/filter.ts'
import { chain, envelope } from './chain.ts'

/** `type: stdout`. */
export const stdout = z
  .strictObject({
    type: z.literal('stdout').describe("Writes lines to the agent's standard output."),
    format: z
      .enum(['json', 'extended', 'compact'])
      .default('json')
      .describe(
        "json: JSON lines. extended: the same with ktrail's own data, such as inodes, in a last key ktrail. compact: one short line per event, for people.",
      ),
    color: z
      .enum(['auto', 'always', 'never'])
      .default('auto')
      .describe('Colors of compact lines. auto: if the output is a terminal and NO_COLOR is not set.'),
    timestamps: flag('Starts each compact line with its time.'),
    envelope,
    ...chain,
  })
  .refine(({ envelope: wanted, format }) => !wanted || format !== 'compact', {
    path: ['envelope'],
    error: 'expected format json or extended with it',
  })
  .describe('Exporter to the standard output.')
