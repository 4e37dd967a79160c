/**
 * The policy language as a structural OpenAPI schema (kubernetes.io: custom resource definitions), made from the tables of `config/policy/`: kubectl
 * explains the keys, and the API server refuses what ktrail would refuse. What depends on several keys is left to the agents.
 *
 * The API server drops keys that a schema does not have, so a policy would silently do something else. Tetragon's keys that ktrail does not support
 * are therefore part of the schema, each with a rule that refuses it.
 */
import { RETURN_TYPES, TRACEPOINT_TYPES, TYPES } from '../../config/policy/arguments.ts'
import { ENFORCER_KEYS, LSM_KEYS, TRACEPOINT_KEYS } from '../../config/policy/hooks/tables.ts'
import { MAX_FIELD, MAX_NAME } from '../../config/policy/hooks/tracepoint.ts'
import { MAX_TAGS } from '../../config/policy/kprobe.ts'
import { MAX_ARGS } from '../../config/policy/types/argument.ts'
import { IDENTITY_OPERATORS, OPERATORS, OPERATORS_OF } from '../../config/policy/operators.ts'
import { MAX_ENFORCERS } from '../../config/policy/hooks/enforcers.ts'
import { MAX_KPROBES } from '../../config/policy/parse.ts'
import { LIST_TYPES, MAX_LISTED, MAX_LISTS } from '../../config/policy/lists.ts'
import { MAX_OPTIONS } from '../../config/policy/options.ts'
import { MAX_FILTERS, MAX_LABEL, MAX_SELECTORS } from '../../config/policy/selector.ts'
import { ACTIONS, MAX_ACTIONS, MAX_SIGNAL, MIN_ERROR, SCOPES } from '../../config/policy/selectors/actions.ts'
import { AGGREGATE_BY, AGGREGATE_KEYS } from '../../config/policy/selectors/aggregate.ts'
import { MAX_MACROS } from '../../config/policy/selectors/macros.ts'
import { LABEL_OPERATORS, MAX_EXPRESSIONS } from '../../config/policy/selectors/workloads.ts'
import {
  ACTION_KEYS,
  EXPRESSION_KEYS,
  FILTER_KEYS,
  IGNORE_KEYS,
  KPROBE_KEYS,
  LABELS_KEYS,
  LIST_KEYS,
  MACRO_KEYS,
  OPTION_KEYS,
  SELECTOR_KEYS,
  SPEC_KEYS,
  WORKLOADS_KEYS,
} from '../../config/policy/tables.ts'
import { MAX_VALUES } from '../../config/policy/values.ts'
import { anything, flag, index, list, mapping, named, oneOf, text } from './mapping.ts'
import { argument } from './argument.ts'
import type { Schema } from './mapping.ts'
import { onProcesses } from './process.ts'

const operators = Object.entries(OPERATORS_OF).flatMap(([kind, table]) =>
  table.size === 0 ? [] : [`${kind}: ${[...table.keys()].join(', ')}`],
)

const filter = (ours: boolean): Schema =>
  mapping(
    FILTER_KEYS,
    'Matches when the argument fits one of the values; with an operator that begins with Not, when it fits none.',
    {
      index: index('The filtered argument, by the index that it has in args.', MAX_FIELD),
      args: list(
        { type: 'integer', minimum: 0 },
        "The filtered argument, by its position in the hook's args; wins over index.",
        1,
        1,
      ),
      operator: oneOf(
        ours ? [...OPERATORS.keys(), ...IDENTITY_OPERATORS.keys()] : OPERATORS.keys(),
        `How the argument is compared. Which operators apply depends on its type (${operators.join('; ')}).`,
      ),
      values: list({ type: 'string' }, 'Texts; numbers too are written in quotes.', MAX_VALUES, 1),
      ...(ours ? { sticky: flag('With UnderDir: what leaves the folders by a rename still matches.', false) } : {}),
    },
    ['operator', 'values'],
    ours,
  )

const expression = mapping(
  EXPRESSION_KEYS,
  'A requirement on one label.',
  {
    key: text('The name of the label.'),
    operator: oneOf(
      LABEL_OPERATORS.keys(),
      'In: it has one of the values; NotIn: none of them, or there is no such label.',
    ),
    values: list({ type: 'string' }, 'Values, with In and NotIn.', MAX_VALUES),
  },
  ['key', 'operator'],
)

/** A selector of Kubernetes; the API server knows null as absent. */
const labels = (description: string): Schema => ({
  ...mapping(
    LABELS_KEYS,
    description,
    {
      matchLabels: {
        type: 'object',
        description: 'Labels with their values; all must be there.',
        additionalProperties: { type: 'string' },
      },
      matchExpressions: list(expression, 'Requirements on labels; all must be met.', MAX_EXPRESSIONS),
    },
    [],
  ),
  nullable: true,
})

const workloads: Record<string, Schema> = {
  podSelector: labels('Pods, by their labels; k8s:io.kubernetes.pod.namespace is their namespace.'),
  containerSelector: labels(
    'Containers of these pods, or of all pods, by name (of the container) and repo (of its image).',
  ),
  hostSelector: {
    type: 'object',
    description: 'With {}: processes outside of pods; alone only these.',
    maxProperties: 0,
    additionalProperties: { type: 'string' },
    nullable: true,
  },
}

const action = mapping(
  ACTION_KEYS,
  'What is done about a call that matches.',
  {
    action: oneOf(
      ACTIONS.keys(),
      'Post: an event; NoPost: none; Sigkill and Signal: a signal to the calling process; Override: the call fails; NotifyEnforcer: the same of the next call of the thread that enforcers name; CleanupEnforcerNotification: that is taken back.',
    ),
    argSig: {
      type: 'integer',
      description: 'The number of the signal, with Signal and NotifyEnforcer.',
      minimum: 1,
      maximum: MAX_SIGNAL,
    },
    argError: {
      type: 'integer',
      format: 'int32',
      description: `What the call gives, with Override and NotifyEnforcer: ${MIN_ERROR} to -1.`,
    },
    rateLimit: text('With Post: for how long no event comes of the same arguments, such as 30s, 5m or 1h.'),
    rateLimitScope: oneOf(SCOPES.keys(), 'Whose calls are limited together; default thread.'),
    kernelStackTrace: flag(
      'With Post in kprobes: records have the functions of the kernel that led to the call.',
      false,
    ),
    userStackTrace: flag('With Post in kprobes: records have the code of the program that led to the call.', false),
  },
  ['action'],
)

const parts = (ours: boolean): Record<string, Schema> => ({
  matchArgs: list(filter(ours), 'Filters on arguments; all must match.', MAX_FILTERS),
  matchData: list(filter(ours), 'Filters on data, by position; all must match.', MAX_FILTERS),
  matchReturnArgs: list(filter(ours), 'Filters on the return value; all must match.', MAX_FILTERS),
  ...onProcesses,
  matchWorkloads: mapping(WORKLOADS_KEYS, 'Where the calling task runs.', workloads, []),
  matchActions: list(action, 'What is done about a call that matches; none: an event.', MAX_ACTIONS),
  label: text('Shown with the counts of the selector.', { maxLength: MAX_LABEL }),
})

const selector = (ours: boolean): Schema =>
  mapping(
    SELECTOR_KEYS,
    'Matches when all of its filters match.',
    { ...parts(ours), macros: list({ type: 'string' }, 'Macros whose fields the selector has too.', MAX_MACROS) },
    [],
  )

const macro = (ours: boolean): Schema =>
  mapping(MACRO_KEYS, 'Fields of a selector, for selectors that name it in macros.', parts(ours), [])

const aggregate = mapping(
  AGGREGATE_KEYS,
  'Equal calls of a process have one event, with their count.',
  {
    window: text('How long calls are counted from the first on: 1s to 30m.'),
    by: list(
      { type: 'string', enum: AGGREGATE_BY },
      'What makes calls equal; default all of them.',
      AGGREGATE_BY.length,
      1,
    ),
  },
  ['window'],
)

/** ktrail's additions to hooks on functions. */
const additions = {
  aggregate,
  fileDetails: anything(
    'true: more of each file than its path is read. A mapping with hash and maxBytes: what it contains is hashed, too.',
  ),
}

/** What hooks of all kinds have. */
const reported = (ours: boolean): Record<string, Schema> => ({
  args: list(
    argument(named(TYPES), 'An argument that is read.', ['index', 'type']),
    'Arguments that are read, in the order of records.',
    MAX_ARGS,
  ),
  selectors: list(
    selector(ours),
    'Which calls are reported: those that match one of the selectors. None: all.',
    MAX_SELECTORS,
  ),
  message: text('Copied to the records of this hook.', { minLength: 2 }),
  tags: list({ type: 'string', minLength: 2 }, 'Copied to the records of this hook.', MAX_TAGS),
})

const kprobe = (ours: boolean): Schema =>
  mapping(
    KPROBE_KEYS,
    'A kernel function whose calls are reported.',
    {
      call: text('Name of the kernel function, or of the system call.', { minLength: 1, maxLength: 511 }),
      syscall: flag(
        'Whether call is a system call: then it is written without the prefix of the architecture, as sys_openat.',
        true,
      ),
      return: flag('Whether the return value is recorded; needs returnArg.', false),
      returnArg: argument(named(RETURN_TYPES), 'The return value.', ['type']),
      returnArgAction: oneOf(['Post'], 'Post, which happens anyway.'),
      ...reported(ours),
      ...(ours ? additions : {}),
      data: list(
        argument(named(TYPES), 'A member of a struct that the calling task leads to.', ['type', 'source', 'resolve']),
        'What is read besides the arguments.',
        MAX_ARGS,
      ),
      ignore: mapping(
        IGNORE_KEYS,
        'What does not refuse the policy.',
        { callNotFound: flag('Whether a kernel without the function skips this hook.', false) },
        [],
      ),
    },
    ['call'],
    ours,
  )

const lsm = (ours: boolean): Schema =>
  mapping(
    LSM_KEYS,
    'A security hook of the kernel whose calls are reported.',
    {
      hook: text('Name of the hook, as file_open.', { minLength: 1, maxLength: 128 }),
      ...reported(ours),
      ...(ours ? additions : {}),
    },
    ['hook'],
    ours,
  )

const tracepoint = (ours: boolean): Schema =>
  mapping(
    TRACEPOINT_KEYS,
    'A tracepoint of the kernel whose events are reported.',
    {
      subsystem: text('Its subsystem, as sched.', { minLength: 1, maxLength: MAX_NAME }),
      event: text('Its name, as sched_process_exec.', { minLength: 1, maxLength: MAX_NAME }),
      raw: flag('Whether args are what the kernel gives to it, and not the fields of its format.', false),
      ...reported(ours),
      args: list(
        argument(
          named(TRACEPOINT_TYPES),
          'A field that is read.',
          ['index'],
          index(
            'Position among the fields of the format, the four common ones first; of a raw tracepoint among its arguments.',
            MAX_FIELD,
          ),
        ),
        'Fields that are read, in the order of records.',
        MAX_ARGS,
      ),
    },
    ['subsystem', 'event'],
  )

const functions = mapping(
  LIST_KEYS,
  'A list of functions.',
  {
    name: text('What calls refer to.'),
    type: oneOf(
      ['', ...LIST_TYPES],
      'syscalls: values are system calls, such as sys_dup or i386/sys_dup. generated_syscalls: all of the kernel. generated_ftrace: functions that match pattern. None: kernel functions.',
    ),
    values: list({ type: 'string' }, 'Names of functions; none in a generated list.', MAX_LISTED),
    pattern: text('With generated_ftrace: a regular expression (RE2) of names of functions.'),
    validated: flag('Accepted for compatibility.', false),
  },
  ['name'],
)

const option = mapping(
  OPTION_KEYS,
  'An option. Unknown ones are ignored.',
  { name: text('Its name.'), value: text('Its value.') },
  ['name', 'value'],
)

const enforcer = mapping(
  ENFORCER_KEYS,
  'Calls that fail, or whose process gets a signal, after a selector with NotifyEnforcer has matched in their thread.',
  {
    calls: list(
      { type: 'string' },
      'System calls, lists of them (list:NAME), and functions security_*.',
      MAX_LISTED,
      1,
    ),
  },
  ['calls'],
)

/** The schema of `spec`; `ours`: with what ktrail adds to Tetragon's language. */
export const specOf = (ours: boolean): Schema =>
  mapping(
    SPEC_KEYS,
    'What is reported.',
    {
      kprobes: list(kprobe(ours), 'The hooked kernel functions.', MAX_KPROBES, 1),
      fentries: list(kprobe(ours), 'The same as kprobes; a policy has one of them.', MAX_KPROBES, 1),
      lsmhooks: list(lsm(ours), 'The security hooks; a policy has these or kprobes.', MAX_KPROBES, 1),
      tracepoints: list(
        tracepoint(ours),
        'The tracepoints; a policy has these or another kind of hooks.',
        MAX_KPROBES,
        1,
      ),
      lists: list(functions, 'Lists of functions, for a call such as list:NAME.', MAX_LISTS),
      selectorsMacros: {
        type: 'object',
        description: 'Parts of selectors by name.',
        additionalProperties: macro(ours),
        maxProperties: MAX_MACROS,
      },
      options: list(option, 'How the policy is run.', MAX_OPTIONS),
      ...workloads,
      nodeSelector: labels('Nodes that load the policy, by their labels.'),
      enforcers: list(enforcer, 'What NotifyEnforcer is for.', MAX_ENFORCERS),
    },
    [],
  )
