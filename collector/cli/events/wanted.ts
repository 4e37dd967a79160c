/** The options of `ktrail events` that select events, as a filter of the API. */
import type { MessageInitShape } from '@bufbuild/protobuf'
import { didYouMean } from '../../../config/yaml/suggest.ts'
import { EventTypeSchema } from '../../proto/tetragon/events_pb.js'
import type { EventType, FilterSchema } from '../../proto/tetragon/events_pb.js'
import { UsageError } from '../command.ts'
import type { Arguments } from '../command.ts'

type FilterInit = Exclude<MessageInitShape<typeof FilterSchema>, { $typeName: string }>

/** undefined: all events. Throws UsageError. */
export function wantedOf(given: Arguments): FilterInit | undefined {
  const list = (option: string): string[] => given.text(option)?.split(',') ?? []
  const host = given.flag('host')
  if (host && given.text('namespace') !== undefined) {
    throw new UsageError('expected either --host or --namespace, got both')
  }
  const all = {
    namespace: host ? [''] : list('namespace'),
    podRegex: list('pod'),
    containerNameRegex: list('container'),
    binaryRegex: list('process'),
    policyNames: list('policy'),
    eventSet: list('event-type').map(typeOf),
  }
  const set = Object.entries(all).filter(([, value]) => value.length > 0)
  return set.length === 0 ? undefined : Object.fromEntries(set)
}

/** `PROCESS_EXEC`, `process_exec` or `exec`. */
function typeOf(word: string): EventType {
  const name = word.toUpperCase()
  const types = EventTypeSchema.values.filter(({ number }) => number !== 0)
  const found = types.find((type) => type.name === name || type.name === `PROCESS_${name}`)
  if (found !== undefined) return found.number
  const names = types.map((type) => type.name.replace('PROCESS_', '').toLowerCase())
  throw new UsageError(
    `--event-type: no such type: "${word}"${didYouMean(word, names) || `; expected ${names.join(', ')}`}`,
  )
}
