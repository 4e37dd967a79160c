/** Debugging a running agent: the level of its log, and its process table. */
import { fromBinary } from '@bufbuild/protobuf'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Log } from '../../host/log.ts'
import type { Image } from '../../process/image.ts'
import type { ProcessTable } from '../../process/table.ts'
import type { ResponseEncoder } from '../events/encode.ts'
import { ProcessSchema } from '../../proto/tetragon/events_pb.js'
import { ConfigFlag, FineGuidanceSensors, LogLevel } from '../../proto/tetragon/sensors_pb.js'
import type {
  GetDebugRequest,
  GetDebugResponseSchema,
  SetDebugResponseSchema,
} from '../../proto/tetragon/sensors_pb.js'
import { ApiError } from '../errors.ts'
import type { Methods } from '../rpc.ts'

export interface DebugSources {
  readonly log: Pick<Log, 'level' | 'warn'>
  readonly processes: Pick<ProcessTable, 'size' | 'latest'>
  readonly encoder: Pick<ResponseEncoder, 'process'>
}

/** Bounds the answer, and the time that it takes on the event loop. */
const MAX_DUMPED = 1000

/** pino's names; the most serious first, as in the enum. */
const LEVELS: Readonly<Record<LogLevel, string>> = {
  [LogLevel.PANIC]: 'fatal',
  [LogLevel.FATAL]: 'fatal',
  [LogLevel.ERROR]: 'error',
  [LogLevel.WARN]: 'warn',
  [LogLevel.INFO]: 'info',
  [LogLevel.DEBUG]: 'debug',
  [LogLevel.TRACE]: 'trace',
}

export function addDebug(methods: Methods, sources: DebugSources): void {
  const { method } = FineGuidanceSensors
  methods.unary(method.getDebug, (request): MessageInitShape<typeof GetDebugResponseSchema> => {
    const { flag } = request
    switch (flag) {
      case ConfigFlag.LOG_LEVEL:
        return { flag, arg: { case: 'level', value: levelOf(sources.log.level) } }
      case ConfigFlag.DUMP_PROCESS_CACHE:
        return { flag, arg: { case: 'processes', value: { processes: dump(request, sources) } } }
      default:
        throw unknown(flag)
    }
  })
  methods.unary(method.setDebug, ({ flag, arg }): MessageInitShape<typeof SetDebugResponseSchema> => {
    if (flag !== ConfigFlag.LOG_LEVEL) throw unknown(flag)
    const level = arg.case === 'level' ? LEVELS[arg.value] : undefined
    if (level === undefined)
      throw new ApiError('INVALID_ARGUMENT', 'level: expected one of panic, fatal, error, warn, info, debug, trace')
    const before = sources.log.level
    sources.log.level = level
    if (before !== level) sources.log.warn({ before, level }, 'the level of the log was changed over the API')
    return { flag, arg: { case: 'level', value: levelOf(level) } }
  })
}

function unknown(flag: number): ApiError {
  return new ApiError(
    'INVALID_ARGUMENT',
    `flag: expected the log level (0) or, to read, the process cache (1), got ${flag}`,
  )
}

function levelOf(name: string): LogLevel {
  const found = Object.entries(LEVELS).findLast(([, level]) => level === name)
  return found === undefined ? LogLevel.INFO : Number(found[0])
}

/** The newest processes. */
function dump({ arg }: GetDebugRequest, { processes, encoder }: DebugSources) {
  const wanted = (image: Image): boolean => !(arg.value?.skipZeroRefcnt === true && image.process.refcnt === 0)
  const newest = [...processes.latest()].slice(-MAX_DUMPED).filter(wanted)
  return newest.map(({ process, ended }) => ({
    process: fromBinary(ProcessSchema, encoder.process(process)),
    color: ended ? 'deletePending' : 'inUse',
    refcnt: process.refcnt,
  }))
}
