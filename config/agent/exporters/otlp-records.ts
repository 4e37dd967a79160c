/** What OTLP records say, and of whom: the same keys wherever records are made. */
import { z } from 'zod'

/** What the environment may say when the config does not: these keys have no default here. */
export const FROM_ENVIRONMENT = 'Also by the variable'

const severityName = z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal'])

const severity = z
  .strictObject({
    lifecycle: severityName.default('info').describe('Severity of exec and exit events.'),
    policies: z
      .record(z.string(), severityName)
      .default({})
      .describe("Severity by name of the policy; wins over that of a hook's tags."),
    tags: z
      .record(z.string(), severityName)
      .default({})
      .describe("Severity by tag; the first of a hook's tags that stands here decides."),
  })
  .prefault({})
  .describe('Severity of the records; info where nothing else is said.')

/** Of the resource that all records belong to. */
export const resourceKeys = {
  service_name: z
    .string()
    .min(1)
    .max(255)
    .optional()
    .describe(`Resource attribute service.name. ${FROM_ENVIRONMENT} OTEL_SERVICE_NAME; ktrail when neither is there.`),
  resource_attributes: z
    .record(z.string().min(1), z.string())
    .default({})
    .describe(`More attributes of the resource. ${FROM_ENVIRONMENT} OTEL_RESOURCE_ATTRIBUTES.`),
}

/** Of each record. */
export const recordKeys = {
  body: z
    .enum(['json', 'text', 'none'])
    .default('json')
    .describe("Body of a record: Tetragon's JSON, one line for people, or none: then there are the attributes only."),
  severity,
  arg_labels: z
    .boolean()
    .default(false)
    .describe('Also arguments that have a label in the policy, as attributes tetragon.arg.<label>.'),
  event_name_attribute: z
    .boolean()
    .default(false)
    .describe('Also the attribute event_name, for versions of Loki that leave out the field of that meaning.'),
}
