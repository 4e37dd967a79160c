/** What an exporter lets through, and what it hides of it: keys of every exporter. */
import { z } from 'zod'
import { duration } from '../../yaml/units.ts'
import { parseLabelSelector } from './label-selector.ts'
import { parseFieldPaths } from './record-fields.ts'
import { parseRedaction, parseRegex } from './regex.ts'

/** Kinds of events by the key of their record. */
const RECORDS = ['process_exec', 'process_exit', 'process_kprobe', 'events_lost'] as const

/** Tetragon's EventType. Those that this version has no events of match nothing. */
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

const UNANCHORED = 'By RE2; matches anywhere in the text, ^ and $ bind it.'
const GLOB = '* stands for any run of characters, / included; nothing else is special.'

type Text = z.ZodString

/** A text that `problem` finds nothing wrong with. */
function checked(problem: (text: string) => string | undefined): Text {
  return z.string().check((context) => {
    const message = problem(context.value)
    if (message !== undefined) context.issues.push({ code: 'custom', input: context.value, message })
  })
}

const regex = checked((text) => sentenceOf(parseRegex(text)))
const redaction = checked((text) => sentenceOf(parseRedaction(text)))

const selector = checked((text) =>
  parseLabelSelector(text) === undefined
    ? 'expected a label selector such as "app=web,tier in (a, b),!debug"'
    : undefined,
)

const fieldPaths = checked((text) => sentenceOf(parseFieldPaths(text)))

/** What a parser has to say instead of a result. */
function sentenceOf(parsed: unknown): string | undefined {
  return typeof parsed === 'string' ? parsed : undefined
}

/** A list that is left out where it has nothing to say: an empty one could mean all or nothing. */
function list<T extends z.ZodType>(item: T, description: string): z.ZodOptional<z.ZodArray<T>> {
  return z
    .array(item)
    .check((context) => {
      if (context.value.length > 0) return
      const message = 'expected at least one entry; leave the key out when it is to change nothing'
      context.issues.push({ code: 'custom', input: context.value, message })
    })
    .meta({ minItems: 1 })
    .optional()
    .describe(description)
}

const eventSet = list(z.enum(EVENT_TYPES), "Kinds of events, by Tetragon's names.")

/** In allow and deny lists, which records of losses pass unasked. */
const filteredSet = list(
  z.enum(EVENT_TYPES).exclude(['RATE_LIMIT_INFO'], {
    error: ({ input }) =>
      input === 'RATE_LIMIT_INFO'
        ? 'expected a kind that allow and deny lists decide about; records of losses pass every filter'
        : undefined,
  }),
  "Kinds of events, by Tetragon's names. Records of losses (RATE_LIMIT_INFO) are none of these: they pass every filter.",
)

const tetragonFilter = z
  .strictObject({
    event_set: filteredSet,
    policy_names: list(z.string().min(1), 'Names of policies, exact. Events of processes belong to no policy.'),
    binary_regex: list(regex, `Binary of the process. ${UNANCHORED}`),
    parent_binary_regex: list(regex, `Binary of the parent. ${UNANCHORED}`),
    arguments_regex: list(regex, `Arguments of the process, separated by spaces. ${UNANCHORED}`),
    parent_arguments_regex: list(regex, `Arguments of the parent. ${UNANCHORED}`),
    pid: list(z.int().min(0).max(4_294_967_295), 'Process id, as the host sees it.'),
    in_init_tree: z
      .boolean()
      .optional()
      .describe('Whether the process descends from the first one of its container; not known counts as false.'),
    container_id: list(regex, `Container id of the process, at most 31 characters. ${UNANCHORED}`),
    container_name_regex: list(regex, `Name of the container in its pod. ${UNANCHORED}`),
    namespace: list(z.string(), 'Kubernetes namespace, exact; "" for processes outside of any pod.'),
    namespace_regex: list(regex, `Kubernetes namespace; never matches outside of a pod. ${UNANCHORED}`),
    pod_regex: list(regex, `Name of the pod; never matches outside of a pod. ${UNANCHORED}`),
    labels: list(selector, 'Kubernetes label selectors on the labels of the pod; never match outside of a pod.'),
    health_check: z.boolean().optional().describe("Whether the process or its parent may be a pod's exec probe."),
  })
  .describe("One of Tetragon's filters: all keys must match, one value of each.")

/** `filter:`. */
const filter = z
  .strictObject({
    policies: list(
      z.string().min(1),
      `Names of policies. ${GLOB} Events of processes (exec, exit) belong to no policy: with this key they are left out.`,
    ),
    event_types: list(
      z.enum(RECORDS),
      'Kinds of records. Records of losses pass every filter, named here or not; with events_lost alone nothing else does.',
    ),
    namespaces: list(z.string(), `Kubernetes namespaces, "" for processes outside of any pod. ${GLOB}`),
    pods: list(z.string().min(1), `Names of pods. ${GLOB}`),
    binaries: list(z.string().min(1), `Paths of the process's binary. ${GLOB}`),
    binary_regex: list(regex, `Binary of the process. ${UNANCHORED}`),
    arguments_regex: list(
      regex,
      `Arguments of the process before anything is redacted, separated by spaces. ${UNANCHORED}`,
    ),
    health_checks: z
      .enum(['keep', 'drop'])
      .optional()
      .describe("drop leaves out events of processes that may be a pod's exec probe; kept when absent."),
    sample: z
      .number()
      .check((context) => {
        if (context.value > 0 && context.value <= 1) return
        const message = 'expected a fraction above 0 and at most 1, such as 0.1'
        context.issues.push({ code: 'custom', input: context.value, message })
      })
      .meta({ exclusiveMinimum: 0, maximum: 1 })
      .optional()
      .describe(
        'Fraction of processes whose events pass, after all other keys. Chosen by the exec id: a process passes with all its events or with none.',
      ),
    allow: list(tetragonFilter, "Tetragon's allow list: passes what one of these filters matches."),
    deny: list(tetragonFilter, "Tetragon's deny list: leaves out what one of these filters matches."),
  })
  .describe('Which events this exporter gets: those that pass every key. All when absent.')

const fieldFilter = z
  .strictObject({
    event_set: eventSet,
    invert_event_set: z.boolean().default(false).describe('True: for all kinds of events but those of event_set.'),
    fields: fieldPaths.describe('Paths below the record, separated by commas, such as "process.binary,parent.pod".'),
    action: z
      .enum(['INCLUDE', 'EXCLUDE'])
      .default('INCLUDE')
      .describe('INCLUDE keeps only these fields, EXCLUDE leaves them out.'),
  })
  .describe("One of Tetragon's field filters. Records of losses stay whole where event_set does not name them.")

const redact = z
  .strictObject({
    redact: list(redaction, `Regular expressions for arguments: each group of each match becomes *****. ${UNANCHORED}`),
    paths: list(
      redaction,
      'The same wherever a path can stand: files and texts among the arguments of a hook, binary, working directory, and arguments of processes.',
    ),
    binary_regex: list(regex, `Only processes whose binary one of these matches; all when absent. ${UNANCHORED}`),
  })
  .check((context) => {
    if (context.value.redact !== undefined || context.value.paths !== undefined) return
    const message = 'expected the key redact or paths, with what is to be replaced'
    context.issues.push({ code: 'custom', input: context.value, message })
  })
  .describe("One of Tetragon's redaction filters. It looks at the process and at its parent, each for itself.")

const rateLimit = z
  .strictObject({
    events: z.int().min(1).max(1_000_000_000).describe('Events that pass in each period.'),
    per: duration(1, 86_400_000).prefault('1s').describe('The period.'),
    burst: z
      .int()
      .min(1)
      .max(1_000_000_000)
      .optional()
      .describe('Most events that pass at once after a quiet time; as many as events when absent.'),
  })
  .describe(
    'Most events this exporter sends; what is above is dropped, and counted as rate_limit. Records of losses pass.',
  )

/** Keys of every exporter. */
export const filtering = {
  filter: filter.optional(),
  fields: list(
    fieldFilter,
    "Tetragon's field filters, in order: which fields records have. They shape JSON lines and, of OTLP records, the JSON body and the attributes: one goes with any of the fields that it is made of. Compact lines and a body of text have no fields.",
  ),
  redact: list(redact, "Tetragon's redaction filters, in order: what becomes ***** before anything is encoded."),
  rate_limit: rateLimit.optional(),
}

/** A mistake that only shows with the rest of an exporter: fields of what has none, where they would be sent all the same. */
export function fieldsProblem({ fields, format, body }: Readonly<Record<string, unknown>>): string | undefined {
  if (fields === undefined) return undefined
  if (format === 'compact') return 'expected format: json to go with it, compact lines have no fields'
  if (body === 'text') return 'expected body: json or body: none to go with it, a line of text has no fields'
  return undefined
}
