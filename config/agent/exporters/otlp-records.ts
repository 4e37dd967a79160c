/** Keys for the content and the resource of OTLP records, shared by all exporters that send them. */
import * as z from 'zod'
import type { DeepReadonly } from '../../base/parsed.ts'
import { flag } from '../filtering/filter.ts'

/** Names the variable that applies when the config does not set the key; such keys have no default in the schema. */
export const FROM_ENVIRONMENT = 'Environment variable:'

const severityName = z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal'])

/** Severities of tags that the config does not list; the library's policies have one of these tags. */
export const SEVERITY_BY_TAG: Readonly<Record<string, z.output<typeof severityName>>> = {
  'severity.low': 'info',
  'severity.medium': 'warn',
  'severity.high': 'error',
  'severity.critical': 'fatal',
}

const severity = z
  .strictObject({
    lifecycle: severityName.default('info').describe('Severity of exec and exit events.'),
    policies: z.record(z.string(), severityName).default({}).describe('Severity by policy name, before tags.'),
    tags: z
      .record(z.string(), severityName)
      .default({})
      .describe(
        "Severity by tag. The first of a hook's tags that is listed here applies. Others: info for severity.low, warn for severity.medium, error for severity.high, fatal for severity.critical.",
      ),
  })
  .prefault({})
  .describe('Severity of the records. Events without a match are info.')

export const resourceKeys = {
  service_name: z
    .string()
    .min(1)
    .max(255)
    .optional()
    .describe(`Resource attribute service.name. ${FROM_ENVIRONMENT} OTEL_SERVICE_NAME. Default: ktrail.`),
  resource_attributes: z
    .record(z.string().min(1), z.string())
    .default({})
    .describe(`Additional resource attributes. ${FROM_ENVIRONMENT} OTEL_RESOURCE_ATTRIBUTES.`),
}

const body = z.enum(['json', 'text', 'none'])
const BODIES = "Body of a record. json: Tetragon's JSON. text: one line for people. none: attributes only."

const COMMAND_LINE =
  'Also sets process.command_line, the binary and arguments as one text. The single words are in process.command_args.'
const EVENT_NAME =
  'Also sets the attribute event_name, because released versions of Loki drop the event name of a record.'

/** Keys whose default depends on the sink: effective.ts. */
export const keysBySink = {
  body: body
    .optional()
    .describe(`${BODIES} Default: json; text for Loki, which limits query answers to a few megabytes.`),
  command_line: z.boolean().optional().describe(`${COMMAND_LINE} Default: true for Loki, else false.`),
  event_name_attribute: z.boolean().optional().describe(`${EVENT_NAME} Default: true for Loki, else false.`),
}

export const recordKeys = {
  body: body.default('json').describe(BODIES),
  severity,
  arg_labels: flag('Adds arguments that have a label in the policy as attributes ktrail.arg.<label>.'),
  pod_labels: z
    .array(z.string().min(1).max(317))
    .max(32)
    .default([])
    .describe('Labels of pods that become attributes k8s.pod.label.<label>, such as app.kubernetes.io/part-of.'),
  command_line: flag(COMMAND_LINE),
  file_details: flag(
    'Adds details of the first file: file.inode, ktrail.file.device, and, if they apply, ktrail.file.deleted, partial and path_bytes.',
  ),
  event_name_attribute: flag(EVENT_NAME),
}

export type RecordConfig = DeepReadonly<z.output<z.ZodObject<typeof recordKeys>>>

export const DEFAULT_RECORDS: RecordConfig = z.object(recordKeys).parse({})

export type ResourceConfig = DeepReadonly<z.output<z.ZodObject<typeof resourceKeys>>>
