/** Filtering and redaction: keys of every exporter. */
import * as z from 'zod'
import { duration } from '../../base/units.ts'
import { parseLabelSelector } from './label-selector.ts'
import { parseFieldPaths } from './record-fields.ts'
import { parseSeverity } from './severity.ts'
import { parseRedaction, parseRegex } from '../../base/regex.ts'

/** Kinds of events by the key of their record. */
const RECORDS = [
  'process_exec',
  'process_exit',
  'process_kprobe',
  'process_lsm',
  'process_tracepoint',
  'events_lost',
] as const

/** Tetragon's EventType. Types without events in this version match nothing. */
const EVENT_TYPES = [
  'PROCESS_EXEC',
  'PROCESS_EXIT',
  'PROCESS_KPROBE',
  'PROCESS_TRACEPOINT',
  'PROCESS_LOADER',
  'PROCESS_UPROBE',
  'PROCESS_THROTTLE',
  'PROCESS_LSM',
  'PROCESS_USDT',
  'TEST',
  'RATE_LIMIT_INFO',
] as const

const UNANCHORED = 'RE2, unanchored.'
const GLOB = '* matches any characters, including /.'

const FRACTION = 'expected a fraction above 0 and at most 1, such as 0.1'

type Text = z.ZodString

/** A text for which `parse` does not return a message. */
function parsedBy(parse: (text: string) => unknown): Text {
  return z.string().check((context) => {
    const message = parse(context.value)
    if (typeof message === 'string') context.issues.push({ code: 'custom', input: context.value, message })
  })
}

export const regex: Text = parsedBy(parseRegex)
const redaction = parsedBy(parseRedaction)
const fieldPaths = parsedBy(parseFieldPaths)

export const selector: Text = z.string().refine((text) => parseLabelSelector(text) !== undefined, {
  error: 'expected a label selector such as "app=web,tier in (a, b),!debug"',
})

const severity = z.string().refine((text) => parseSeverity(text) !== undefined, {
  error: 'expected low, medium, high, critical or none, also with >=, >, <= or <, such as ">= high"',
})

/** A switch that is off by default. */
export function flag(description: string): z.ZodDefault<z.ZodBoolean> {
  return z.boolean().default(false).describe(description)
}

/** A list that must not be empty: an empty one could mean all or nothing. */
export function list<T extends z.ZodType>(item: T, description: string): z.ZodOptional<z.ZodArray<T>> {
  const error = 'expected at least one entry; remove the key if it should have no effect'
  return z.array(item).min(1, { error }).optional().describe(description)
}

const eventSet = list(z.enum(EVENT_TYPES), "Types of events, by Tetragon's names.")

/** For allow and deny lists, which loss records always pass. */
const filteredSet = list(
  z.enum(EVENT_TYPES).exclude(['RATE_LIMIT_INFO'], {
    error: ({ input }) =>
      input === 'RATE_LIMIT_INFO' ? 'expected another type, because loss records pass every filter' : undefined,
  }),
  "Types of events, by Tetragon's names. Loss records (RATE_LIMIT_INFO) pass every filter.",
)

const tetragonFilter = z
  .strictObject({
    event_set: filteredSet,
    policy_names: list(z.string().min(1), 'Exact policy names. Exec and exit events belong to no policy.'),
    binary_regex: list(regex, `Binary of the process. ${UNANCHORED}`),
    parent_binary_regex: list(regex, `Binary of the parent. ${UNANCHORED}`),
    arguments_regex: list(regex, `Arguments of the process, joined by spaces. ${UNANCHORED}`),
    parent_arguments_regex: list(regex, `Arguments of the parent. ${UNANCHORED}`),
    pid: list(z.int().min(0).max(4_294_967_295), 'Process ids in the pid namespace of the host.'),
    in_init_tree: z
      .boolean()
      .optional()
      .describe('Whether the process descends from the first process of its container. Unknown counts as false.'),
    container_id: list(regex, `First 31 characters of the container id. ${UNANCHORED}`),
    container_name_regex: list(regex, `Name of the container in its pod, or else in its runtime. ${UNANCHORED}`),
    namespace: list(z.string(), 'Exact Kubernetes namespaces; "" means outside of pods.'),
    namespace_regex: list(regex, `Kubernetes namespace; never matches outside of pods. ${UNANCHORED}`),
    pod_regex: list(regex, `Name of the pod; never matches outside of pods. ${UNANCHORED}`),
    labels: list(
      selector,
      'Kubernetes label selectors for the labels of the pod, or for the labels in containers.labels; never match outside of both.',
    ),
    health_check: z.boolean().optional().describe('Whether the process or its parent may be an exec probe of a pod.'),
  })
  .describe('A filter of Tetragon. All keys must match, each with at least one of its values.')

const filter = z
  .strictObject({
    policies: list(
      z.string().min(1),
      `Policy names. ${GLOB} Exec and exit events belong to no policy, so this key removes them.`,
    ),
    severity: severity
      .optional()
      .describe(
        'Severity of the hook, by its first tag of severity.low, severity.medium, severity.high and severity.critical: one of these words, or a limit such as ">= high". ' +
          'Without such a tag, a hook has the severity none, which is below low. Exec and exit events also have none: "< critical" passes all that "critical" removes.',
      ),
    tags: list(
      z.string().min(1),
      `Tags of hooks, one of which the event must have. ${GLOB} Exec and exit events have no tags, so this key removes them.`,
    ),
    event_types: list(
      z.enum(RECORDS),
      'Types of records. Loss records and records about changes always pass; with events_lost alone, only these pass.',
    ),
    namespaces: list(z.string(), `Kubernetes namespaces; "" means outside of pods. ${GLOB}`),
    pods: list(z.string().min(1), `Pod names. ${GLOB}`),
    workloads: list(
      z.string().min(1),
      `Names of the workloads (Deployment, DaemonSet, Job, …) of pods; for a pod without workload, its own name. ${GLOB}`,
    ),
    containers: list(z.string().min(1), `Names of containers in their pods, or else in their runtime. ${GLOB}`),
    images: list(z.string().min(1), `Images of containers, such as docker.io/library/nginx:1.27. ${GLOB}`),
    binaries: list(z.string().min(1), `Binaries of the process, as paths. ${GLOB}`),
    binary_regex: list(regex, `Binary of the process. ${UNANCHORED}`),
    arguments_regex: list(regex, `Arguments of the process, joined by spaces, before redaction. ${UNANCHORED}`),
    health_checks: z
      .enum(['keep', 'drop'])
      .optional()
      .describe('Events of processes that may be an exec probe of a pod: keep or drop. Default: keep.'),
    sample: z
      .number()
      .gt(0, { error: FRACTION })
      .max(1, { error: FRACTION })
      .optional()
      .describe(
        'Fraction of processes whose events pass, applied after all other keys. The exec id decides: either all events of a ' +
          'process pass, or none.',
      ),
    allow: list(tetragonFilter, "Tetragon's allow list: only events that match one of these filters pass."),
    deny: list(tetragonFilter, "Tetragon's deny list: events that match one of these filters are removed."),
  })
  .describe('Conditions on the events that this exporter gets; an event must pass every key. Default: all events.')

const fieldFilter = z
  .strictObject({
    event_set: eventSet,
    invert_event_set: flag('true: applies to all types of events except those in event_set.'),
    fields: fieldPaths.describe('Paths below the record, separated by commas, such as "process.binary,parent.pod".'),
    action: z
      .enum(['INCLUDE', 'EXCLUDE'])
      .default('INCLUDE')
      .describe('INCLUDE keeps only these fields. EXCLUDE removes them.'),
  })
  .describe('A field filter of Tetragon. Loss records keep all fields unless event_set names them.')

const redact = z
  .strictObject({
    redact: list(
      redaction,
      `Regular expressions for arguments. Each group of each match is replaced by *****. ${UNANCHORED}`,
    ),
    paths: list(
      redaction,
      'Same as redact, but for all paths: file and text arguments of a hook, binary, working directory, and arguments of processes.',
    ),
    binary_regex: list(regex, `Only for processes whose binary matches. ${UNANCHORED} Default: all processes.`),
    namespaces: list(
      z.string().min(1),
      `Only for processes in pods of these Kubernetes namespaces. ${GLOB} If the pod of a container is not known yet, this key and the next ones also match, so that no secret is sent.`,
    ),
    pods: list(z.string().min(1), `Only in these pods, by name. ${GLOB}`),
    workloads: list(z.string().min(1), `Only in pods of these workloads. ${GLOB}`),
    containers: list(
      z.string().min(1),
      `Only in these containers, by their name in the pod, or else in the runtime. ${GLOB}`,
    ),
    images: list(z.string().min(1), `Only in containers of these images. ${GLOB}`),
    labels: list(
      selector,
      'Only if one of these Kubernetes label selectors matches the labels of the pod, or the labels in containers.labels.',
    ),
  })
  .refine((value) => value.redact !== undefined || value.paths !== undefined, {
    error: 'expected the key redact or paths, with the texts to replace',
  })
  .describe('A redaction filter of Tetragon. It is applied to the process and to its parent separately.')

const rateLimit = z
  .strictObject({
    events: z.int().min(1).max(1_000_000_000).describe('Maximum number of events in each period.'),
    per: duration(1, 86_400_000).prefault('1s').describe('Length of the period.'),
    burst: z
      .int()
      .min(1)
      .max(1_000_000_000)
      .optional()
      .describe('Maximum number of events that pass at once after a quiet time. Default: same as events.'),
  })
  .describe(
    'Limit on the events that this exporter sends. Events above the limit are dropped and counted as rate_limit. Loss ' +
      'records always pass.',
  )

/** Keys of every exporter. */
export const filtering = {
  filter: filter.optional(),
  fields: list(
    fieldFilter,
    "Tetragon's field filters, in order; they select the fields of a record. They apply to JSON lines, and to the JSON body and attributes of OTLP records. An attribute is removed with any of its source fields. Compact lines and text bodies have no fields.",
  ),
  redact: list(
    redact,
    "Tetragon's redaction filters, in order. They replace text by ***** before the event is encoded.",
  ),
  rate_limit: rateLimit.optional(),
}

/** A mistake that depends on the exporter's other keys: a format without fields, which would send everything. */
export function fieldsProblem({ fields, format, body }: Readonly<Record<string, unknown>>): string | undefined {
  if (fields === undefined) return undefined
  if (format === 'compact') return 'expected format: json with it, because compact lines have no fields'
  if (body === 'text') return 'expected body: json or body: none with it, because a line of text has no fields'
  return undefined
}
