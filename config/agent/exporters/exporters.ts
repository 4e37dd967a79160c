/** The schemas below `exporters:`, one per type, each in its own file. */
import * as z from 'zod'
import { formatDuration } from '../../base/units.ts'
import { file } from './file.ts'
import { fieldsProblem } from '../filtering/filter.ts'
import { kafka } from './kafka.ts'
import { npm } from './npm.ts'
import { otlp } from './otlp.ts'
import { stdout } from './stdout.ts'

/** Exporter names are metric labels and parts of file names. */
export const EXPORTER_NAME: RegExp = /^[a-z0-9][a-z0-9_-]{0,62}$/

const NO_SPOOL = 'expected drop_newest, drop_oldest or block, or a spool such as spool: {dir: /var/lib/ktrail/spool}'

const KINDS = z.discriminatedUnion('type', [file, stdout, otlp, kafka])

/** One schema per type of exporter. */
export const exporterSchemas = [...KINDS.options, npm] as const

export const exporterSchema = z
  .union([KINDS, npm], { error: 'expected a mapping such as {type: stdout}' })
  .check((context) => {
    const { queue, retry, spool } = context.value
    const problem = (path: string[], message: string): void => {
      context.issues.push({ code: 'custom', input: context.value, path, message })
    }
    if (retry.initial > retry.max)
      problem(['retry', 'initial'], `expected at most retry.max, which is ${formatDuration(retry.max)}`)
    if (queue.when_full === 'spool' && spool === undefined) problem(['queue', 'when_full'], NO_SPOOL)
    const fields = fieldsProblem(context.value)
    if (fields !== undefined) problem(['fields'], fields)
  })
  .describe('An exporter.')
