import { describe } from '../yaml/tree.ts'
import { asHint, didYouMean, notOneOf } from '../yaml/suggest.ts'
import type { ArgumentType } from './arguments.ts'
import {
  IDENTITY_OPERATORS,
  LATER_OPERATORS,
  OPERATORS,
  OPERATORS_OF,
  isFileTypeOperator,
  isSocketOperator,
  meantOperator,
  takesRanges,
} from './operators.ts'
import type { FileTypeOperator, Operator, SocketOperator } from './operators.ts'
import type { ArgumentFilter, ArgumentSpec, NumberFilter, Selector } from './policy.ts'
import { show } from '../yaml/problems.ts'
import { Fields, asInteger, asList, notSupported } from './fields.ts'
import type { Place } from './fields.ts'
import type { Lists } from './lists.ts'
import { readActions } from './selectors/actions.ts'
import { warnOfAll, warnOfContradiction } from './selectors/doubts.ts'
import { readFileTypes } from './selectors/file-type.ts'
import { identityOperator, readPaths, readSticky } from './selectors/identity.ts'
import type { Macros } from './selectors/macros.ts'
import { readProcessFilters } from './selectors/process.ts'
import { readSocketValues } from './selectors/socket.ts'
import { readTaskFilters } from './selectors/task.ts'
import { readMatchWorkloads } from './selectors/workloads.ts'
import { KEYS } from './tables.ts'
import { MAX_PARTS, MAX_VALUES, readBytes, readNumbers, readTexts, warnOfText } from './values.ts'

// Tetragon's bounds; the tables of the kernel side have the same.
export const MAX_SELECTORS = 5
export const MAX_FILTERS = 5
/** A metric has it as label. */
export const MAX_LABEL = 128
const MAX_INDEX = 4

type Arguments = ReadonlyArray<ArgumentSpec | undefined>

/** The first own field of a tracepoint's event; the fields before it are common ones, without use for filters. */
const OWN_FIELD = 4

/**
 * `selectors` of one hook. `args`: the hook's arguments, undefined for wrong entries, which are reported already. `returned`: likewise its return
 * value; empty if the hook does not read it. `lists`: those of a hook that may have numbers of system calls. `data`: as `args`, which they follow. */
export function readSelectors(
  kprobe: Fields,
  args: Arguments,
  returned: Arguments,
  macros: Macros,
  lists?: Lists,
  data: Arguments = [],
): Selector[] {
  // Filters name them by their position.
  const items = data.map((item, index) => item && { ...item, index })
  const list = kprobe.get('selectors')
  if (list?.isEmptyList === true) list.warn('an empty list matches every call; add a selector, or remove it')
  let all: Place | undefined
  return kprobe.list('selectors', MAX_SELECTORS).map((written, index) => {
    if (all !== undefined) written.warn(`no call reaches it, because ${all.path} matches every call; move it before`)
    const fields = Fields.of(macros.into(written), KEYS.selector)
    if (fields === undefined) return { matchArgs: [] }
    const ofArgs = fields.list('matchArgs', MAX_FILTERS).flatMap((place) => readFilter(place, args, lists) ?? [])
    const ofData = fields.list('matchData', MAX_FILTERS).flatMap((place) => readFilter(place, items) ?? [])
    const matchArgs = [...ofArgs, ...ofData.map((filter) => ({ ...filter, arg: args.length + filter.arg }))]
    if (matchArgs.length > MAX_FILTERS) {
      const sentence = `expected at most ${MAX_FILTERS} filters in matchArgs and matchData together`
      fields.refuse('matchData', `${sentence}, got ${matchArgs.length}`)
    }
    const matchReturnArgs = readReturnFilters(fields, returned)
    const process = readProcessFilters(fields)
    const task = readTaskFilters(fields)
    const workloads = readMatchWorkloads(fields)
    const acts = readActions(fields)
    const label = readLabel(fields)
    warnOfContradiction(matchArgs, fields)
    if (workloads === undefined && [matchArgs, matchReturnArgs, process, task].every(({ length }) => length === 0)) {
      if (index === 0) warnOfAll(acts, written)
      all = written
    }
    return {
      ...(label === '' ? {} : { label }),
      matchArgs,
      ...(matchReturnArgs.length === 0 ? {} : { matchReturnArgs }),
      ...(process.length === 0 ? {} : { process }),
      ...(task.length === 0 ? {} : { task }),
      ...(workloads === undefined ? {} : { workloads: [workloads] }),
      ...acts,
    }
  })
}

function readLabel(fields: Fields): string {
  const place = fields.textAt('label')
  const label = place?.text ?? ''
  const bytes = Buffer.byteLength(label)
  if (bytes > MAX_LABEL) place?.refuse(`expected at most ${MAX_LABEL} bytes, got ${bytes}`)
  return label
}

function readReturnFilters(fields: Fields, returned: Arguments): NumberFilter[] {
  const places = fields.list('matchReturnArgs', MAX_FILTERS)
  if (places.length > 0 && returned.length === 0) {
    const sentence = 'the hook does not read the return value; add return: true and returnArg: {index: 0, type: int}'
    fields.refuse('matchReturnArgs', sentence)
    return []
  }
  return places.flatMap((place) => {
    const filter = readFilter(place, returned)
    return filter?.class === 'number' ? [filter] : []
  })
}

function readFilter(place: Place, args: Arguments, lists?: Lists): ArgumentFilter | undefined {
  const fields = Fields.of(place, KEYS.filter)
  if (fields === undefined) return undefined
  const arg = readTarget(fields, args)
  // Undefined for a wrong argument: then only parts that do not depend on its type are checked.
  const type = arg === undefined ? undefined : args[arg]?.type
  const possible = type === undefined || type.filter === 'none' ? OPERATORS : OPERATORS_OF[type.filter]
  const operatorAt = fields.need('operator', `one of ${[...possible.keys()].join(', ')}`)
  const identity = operatorAt === undefined ? undefined : identityOperator(operatorAt, type)
  const operator = operatorAt === undefined || identity ? undefined : readOperator(operatorAt, type)
  const alone = operator?.endsWith('Priv') === true
  const places = alone
    ? fields.list('values', MAX_VALUES)
    : fields.needList('values', 'a list of texts, such as ["/etc/passwd"]', MAX_VALUES)
  if (arg !== undefined && identity !== undefined) {
    const values = readPaths(places)
    const at = operatorAt?.node.at ?? place.node.at
    return { arg, class: 'identity', operator: identity, values, ...readSticky(fields, identity), at }
  }
  if (operator !== undefined) readSticky(fields, operator)
  if (arg === undefined || type === undefined || operator === undefined) return undefined
  if (operator === 'Family' && type.filter === 'unix') {
    const numbers = readSocketValues(operator, places).values.map(({ bytes: [high = 0, low = 0] }) =>
      BigInt(256 * high + low),
    )
    return { class: 'number', arg, operator: 'Equal', values: numbers, at: place.node.at }
  }
  if (isSocketOperator(operator)) {
    return { class: 'socket', arg, at: place.node.at, ...readSocketValues(operator, places) }
  }
  if (isFileTypeOperator(operator)) {
    const values = readFileTypes(places)
    return {
      class: 'fileType',
      arg,
      operator: operator === 'FileType' ? 'Equal' : 'NotEqual',
      values,
      at: place.node.at,
    }
  }
  const filter = { arg, operator, at: place.node.at }
  const ranges = operatorAt?.node.kind === 'scalar' && takesRanges(operatorAt.node.value)
  switch (type.filter) {
    case 'number':
      return { ...filter, class: type.filter, values: readNumbers(places, type, operator, ranges, lists) }
    case 'path':
    case 'text':
    case 'unix':
      if (operator.startsWith('SubString') && places.length > MAX_PARTS) {
        const sentence = `expected at most ${MAX_PARTS} values for ${operator}, got ${places.length}`
        fields.problems.add(place.node.at, `${fields.pathOf('values')}: ${sentence}`)
      }
      for (const value of places) warnOfText(value, operator, type.filter === 'path' ? 'path' : 'text')
      return {
        ...filter,
        class: type.filter === 'text' ? 'text' : 'path',
        values: (type.kind === 'bytes' ? readBytes : readTexts)(places, operator),
      }
    case 'sock':
    case 'skb':
    case 'sockaddr':
    case 'none':
      return undefined
  }
}

/** Position in the hook's `args` list of the filtered argument: `args: [n]` is that position and wins over `index`. */
function readTarget(fields: Fields, args: Arguments): number | undefined {
  const byPosition = fields.get('args')
  const byIndex = fields.get('index')
  // A tracepoint may have more fields than that.
  const most = Math.max(MAX_INDEX, ...args.map((spec) => spec?.index ?? 0))
  const index = byIndex && asInteger(byIndex, 0, most)
  if (byPosition !== undefined) {
    const [item] = asList(byPosition, 1)
    if (item !== undefined) {
      if (args.length > 0) return asInteger(item, 0, args.length - 1)
      item.refuse('the hook has no args; add the argument to it')
    } else if (byPosition.node.kind === 'list') {
      byPosition.refuse(`expected one position in the hook's args, got an empty list`)
    }
    return undefined
  }
  if (byIndex === undefined) {
    fields.need('index', "an index of the hook's args")
    return undefined
  }
  if (index === undefined) return undefined
  const found = args.findIndex((spec) => spec?.index === index)
  if (found >= 0) return found
  // For tracepoints, Tetragon takes a position in args too.
  const byEither =
    fields.path.startsWith('spec.tracepoints[') && args.every((spec) => (spec?.index ?? OWN_FIELD) >= OWN_FIELD)
  if (byEither && index < args.length) return index
  // The index may be that of a wrong entry among the args: no second message for one mistake.
  if (!args.includes(undefined)) {
    const indexes = args.map((spec) => spec?.index).join(', ')
    const list = fields.path.includes('.matchData[') ? 'data' : 'args'
    const message = fields.path.includes('.matchReturnArgs[')
      ? `expected 0, the return value, got ${index}`
      : indexes === ''
        ? `the hook has no ${list}: add one with index ${index} and its type`
        : `expected an index of the hook's ${list} (${indexes}), got ${index}; add it to ${list}, or correct it`
    byIndex.refuse(message)
  }
  return undefined
}

function readOperator(
  place: Place,
  type: ArgumentType | undefined,
): Operator | SocketOperator | FileTypeOperator | undefined {
  const text = place.scalar
  const table = type === undefined ? OPERATORS : OPERATORS_OF[type.filter]
  const operator = typeof text === 'string' ? table.get(text) : undefined
  if (operator !== undefined) return operator
  if (type?.filter === 'none')
    return place.refuse(`an argument of type ${type.name} cannot be filtered; give it another type`)
  const allowed = [...table.keys()]
  const expected = `expected one of ${allowed.join(', ')}`
  if (typeof text !== 'string') {
    place.refuse(`${expected}, got ${describe(place.node)}`)
  } else if (type !== undefined && (OPERATORS.has(text) || IDENTITY_OPERATORS.has(text))) {
    place.refuse(`${text} does not apply to an argument of type ${type.name}; ${expected}`)
  } else if (LATER_OPERATORS.includes(text)) {
    place.refuse(`${notSupported('operator', text)}; ${expected}`)
  } else {
    const meant = meantOperator(text)
    const hint =
      meant === undefined
        ? didYouMean(text, [
            ...allowed,
            ...(type?.filter === 'path' ? IDENTITY_OPERATORS.keys() : []),
            ...LATER_OPERATORS,
          ])
        : asHint(meant)
    place.refuse(notOneOf(allowed, show(text), hint, 'operator'))
  }
  return undefined
}
