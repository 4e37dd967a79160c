/** The fields of records, and lists of fields in the notation of Tetragon's field filters: `process.binary,parent.pod`. */
import { TYPES } from '../../policy/arguments.ts'
import { didYouMean } from '../../yaml/suggest.ts'
import { show } from '../../yaml/problems.ts'

/** Names below a field; `true` where any name is accepted. */
interface Shape {
  readonly [name: string]: Shape | true
}

function named(names: string): Shape {
  return Object.fromEntries(names.split(' ').map((name): [string, true] => [name, true]))
}

const CONTAINER: Shape = {
  ...named('id name start_time pid maybe_exec_probe security_context'),
  image: named('id name'),
}
const POD: Shape = {
  ...named('namespace name uid pod_labels workload workload_kind pod_annotations'),
  container: CONTAINER,
}
const PROCESS: Shape = {
  ...named('exec_id pid uid cwd binary arguments flags start_time auid docker parent_exec_id refcnt cap ns tid'),
  ...named('process_credentials binary_properties user in_init_tree environment_variables'),
  pod: POD,
}
const FILE = named('mount path flags permission')
/** Keys of the types in policies, then others of Tetragon. */
const ARGUMENT: Shape = {
  ...named(TYPES.map(({ field }) => field).join(' ')),
  ...named('truncated_bytes_arg cred_arg user_namespace_arg net_dev_arg syscall_id label'),
  file_arg: FILE,
  path_arg: FILE,
  error_arg: named('Message'),
}
/** The fields of docs/reference/records.md and further ones of Tetragon's ProcessExec, ProcessExit, ProcessKprobe and RateLimitInfo. */
const RECORD: Shape = {
  process: PROCESS,
  parent: PROCESS,
  ancestors: PROCESS,
  ...named('signal status time function_name action kernel_stack_trace policy_name return_action message tags'),
  ...named('user_stack_trace number_of_dropped_process_events'),
  args: ARGUMENT,
  return: ARGUMENT,
  data: ARGUMENT,
}

/**
 * Parses a list of paths in snake or camel case into lists of names as in records. Returns a message when a field is unknown: a typing slip
 * would keep a field that was to be left out.
 */
export function parseFieldPaths(text: string): ReadonlyArray<readonly string[]> | string {
  const paths: string[][] = []
  for (const path of text.split(',')) {
    let shape: Shape | true = RECORD
    const names: string[] = []
    for (const part of path.trim().split('.')) {
      const name: string | undefined = shape === true ? snakeCase(part) : nameIn(shape, part)
      if (name === undefined || name === '') return unknown(path.trim(), part, shape)
      names.push(name)
      shape = shape === true ? true : (shape[name] ?? true)
    }
    paths.push(names)
  }
  return paths
}

function nameIn(shape: Shape, part: string): string | undefined {
  if (Object.hasOwn(shape, part)) return part
  return Object.keys(shape).find((name) => camelCase(name) === part)
}

function unknown(path: string, part: string, shape: Shape | true): string {
  const hint = shape === true ? '' : didYouMean(part, Object.keys(shape))
  return `expected fields of a record such as "process.binary,parent.pod"; unknown field ${show(part)} in ${show(path)}${hint}`
}

function camelCase(name: string): string {
  return name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

function snakeCase(part: string): string {
  return part.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
