/** The CRI API of containerd and CRI-O (runtime.v1, containerd 1.6 and later) over their Unix socket. Loaded when such a socket is there. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import { ChannelCredentials, Client, status } from '@grpc/grpc-js'
import type { ServiceError } from '@grpc/grpc-js'
import { RuntimeService } from '../proto/cri/runtime_pb.js'
import { MAX_CONTAINER_BYTES } from './runtime.ts'
import type { RuntimeApi } from './runtime.ts'

const OPTIONS = {
  'grpc.max_receive_message_length': MAX_CONTAINER_BYTES,
  'grpc.max_metadata_size': 16 << 10,
  'grpc.enable_retries': 0,
  'grpc.enable_channelz': 0,
  'grpc.use_local_subchannel_pool': 1,
}

/** Rejects if the server does not answer as a runtime does. */
export async function cri(socketPath: string, signal: AbortSignal): Promise<RuntimeApi> {
  const client = new Client(`unix://${socketPath}`, ChannelCredentials.createInsecure(), OPTIONS)
  try {
    const { runtimeName } = await call(client, RuntimeService.method.version, {}, signal)
    return {
      name: runtimeName.slice(0, 32),
      container: async (containerId, within) => {
        const answer = await call(client, RuntimeService.method.containerStatus, { containerId }, within).catch(
          (error: unknown) => {
            // Nor does the API know pause containers.
            if (error instanceof CallError && error.code === status.NOT_FOUND) return undefined
            throw error
          },
        )
        const found = answer?.status
        return (
          found && {
            id: found.id,
            name: found.metadata?.name ?? '',
            image: found.image?.image ?? '',
            imageId: found.imageRef,
            labels: found.labels,
          }
        )
      },
      [Symbol.dispose]: () => client.close(),
    }
  } catch (error) {
    client.close()
    throw error
  }
}

class CallError extends Error {
  readonly code: number

  constructor({ code, details }: ServiceError) {
    super(`${status[code]}: ${details.slice(0, 300)}`)
    this.code = code
  }
}

function call<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
  signal: AbortSignal,
): Promise<MessageShape<O>> {
  return new Promise((resolve, reject) => {
    const sent = client.makeUnaryRequest(
      `/${method.parent.typeName}/${method.name}`,
      (init: MessageInitShape<I>) => Buffer.from(toBinary(method.input, create(method.input, init))),
      (bytes) => fromBinary(method.output, bytes),
      request,
      (error: ServiceError | null, answer?: MessageShape<O>) => {
        if (signal.aborted) reject(signal.reason as Error)
        else if (error !== null) reject(new CallError(error))
        else if (answer !== undefined) resolve(answer)
      },
    )
    signal.addEventListener('abort', () => sent.cancel(), { once: true })
    if (signal.aborted) sent.cancel()
  })
}
