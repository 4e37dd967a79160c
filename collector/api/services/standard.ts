/** gRPC's own services: health and reflection. */
import { once } from 'node:events'
import { create, toBinary } from '@bufbuild/protobuf'
import type { DescFile, MessageInitShape } from '@bufbuild/protobuf'
import { nestedTypes } from '@bufbuild/protobuf/reflect'
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'
import { status } from '@grpc/grpc-js'
import {
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as ServingStatus,
  Health as HealthService,
  file_grpc_health,
} from '../../proto/grpc/health_pb.js'
import { ServerReflection, file_grpc_reflection } from '../../proto/grpc/reflection_pb.js'
import type { ServerReflectionRequest, ServerReflectionResponseSchema } from '../../proto/grpc/reflection_pb.js'
import { Exporters, file_ktrail_exporters } from '../../proto/ktrail/exporters_pb.js'
import { EventLogService, FineGuidanceSensors, file_tetragon_sensors } from '../../proto/tetragon/sensors_pb.js'
import { ApiError } from '../errors.ts'
import type { Methods } from '../rpc.ts'

/** '' is the server as a whole, `liveness` the name that Tetragon's health server has. */
const HEALTH_NAMES: readonly string[] = ['', 'liveness', FineGuidanceSensors.typeName]

export class Health {
  readonly #ended = new AbortController()
  readonly #ready: () => boolean

  constructor(methods: Methods, ready: () => boolean) {
    this.#ready = ready
    methods.unary(HealthService.method.check, ({ service }) => {
      if (HEALTH_NAMES.includes(service)) return { status: this.#status() }
      throw new ApiError('NOT_FOUND', `no service "${service}": expected one of "${HEALTH_NAMES.join('", "')}"`)
    })
    methods.serverStream(HealthService.method.watch, async (call) => {
      const known = HEALTH_NAMES.includes(call.request.service)
      const tell = (now: ServingStatus): void =>
        void call.write(toBinary(HealthCheckResponseSchema, create(HealthCheckResponseSchema, { status: now })))
      tell(known ? this.#status() : ServingStatus.SERVICE_UNKNOWN)
      // Rejects when the agent stops.
      await once(call, 'cancelled', { signal: this.#ended.signal }).catch(() => {})
      if (known && !call.cancelled) tell(this.#status())
    })
  }

  #status(): ServingStatus {
    return this.#ready() && !this.#ended.signal.aborted ? ServingStatus.SERVING : ServingStatus.NOT_SERVING
  }

  /** The agent stops: watchers get the new status, and their streams end. */
  end(): void {
    this.#ended.abort()
  }
}

/** The file and all that it imports. */
const withImports = (file: DescFile): DescFile[] => [file, ...file.dependencies.flatMap(withImports)]
const FILES: ReadonlyMap<string, DescFile> = new Map(
  [file_tetragon_sensors, file_ktrail_exporters, file_grpc_health, file_grpc_reflection]
    .flatMap(withImports)
    .map((file) => [`${file.name}.proto`, file]),
)

const SERVICES = [FineGuidanceSensors, EventLogService, Exporters, HealthService, ServerReflection]
/** Clients from before 2023 use this name; the messages are the same. */
const ALPHA = 'grpc.reflection.v1alpha.ServerReflection'

/** Adds the reflection service: clients such as grpcurl then need no .proto files. */
export function addReflection(methods: Methods): void {
  const method = ServerReflection.method.serverReflectionInfo
  for (const service of [ServerReflection.typeName, ALPHA]) {
    methods.conversation(method, service, (request) => ({
      validHost: request.host,
      originalRequest: request,
      messageResponse: reflected(request),
    }))
  }
}

type Reflected = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>['messageResponse']>

function reflected({ messageRequest }: ServerReflectionRequest): Reflected {
  switch (messageRequest.case) {
    case 'listServices':
      return { case: 'listServicesResponse', value: { service: SERVICES.map(({ typeName }) => ({ name: typeName })) } }
    case 'fileByFilename':
      return filesFrom(FILES.get(messageRequest.value), `no file "${messageRequest.value}"`)
    case 'fileContainingSymbol': {
      const { value } = messageRequest
      const file = [...FILES.values()].find((each) => symbolsOf(each).has(value.replace(/^\./, '')))
      return filesFrom(file, `no symbol "${value}"`)
    }
    default:
      return refusal(status.UNIMPLEMENTED, 'expected a list of services, or a file by name or symbol')
  }
}

function refusal(errorCode: number, errorMessage: string): Reflected {
  return { case: 'errorResponse', value: { errorCode, errorMessage } }
}

function filesFrom(file: DescFile | undefined, missing: string): Reflected {
  if (file === undefined) return refusal(status.NOT_FOUND, missing)
  const files = new Set(withImports(file))
  const fileDescriptorProto = Array.from(files, ({ proto }) => toBinary(FileDescriptorProtoSchema, proto))
  return { case: 'fileDescriptorResponse', value: { fileDescriptorProto } }
}

function symbolsOf(file: DescFile): ReadonlySet<string> {
  const types = [...nestedTypes(file)]
  const methods = types.flatMap((each) => (each.kind === 'service' ? each.methods : []))
  return new Set([
    ...types.map(({ typeName }) => typeName),
    ...methods.map(({ parent, name }) => `${parent.typeName}.${name}`),
  ])
}
