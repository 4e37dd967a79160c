import { z } from 'zod'
import { chain } from './chain.ts'

/** `type: stdout`. */
export const stdout = z
  .strictObject({
    type: z.literal('stdout').describe('Writes lines to the standard output of the agent.'),
    format: z.enum(['json', 'compact']).default('json').describe('JSON lines, or one short line an event for people.'),
    color: z
      .enum(['auto', 'always', 'never'])
      .default('auto')
      .describe('Colour of compact lines; auto: when the output is a terminal and NO_COLOR is not set.'),
    timestamps: z.boolean().default(false).describe('Puts the time in front of each compact line.'),
    ...chain,
  })
  .describe('Exporter to the standard output.')
