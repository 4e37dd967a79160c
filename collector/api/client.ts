/** A client of the API, for ktrail's own commands. */
import { addAbortListener } from 'node:events'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { DescMessage, DescMethodServerStreaming, DescMethodUnary } from '@bufbuild/protobuf'
import type { MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import { Client, ChannelCredentials, status } from '@grpc/grpc-js'
import type { ServiceError } from '@grpc/grpc-js'
import { MAX_ANSWER_BYTES } from '../../config/base/answers.ts'
import type { TlsContents } from '../../exporters/index.ts'

/** A change of policies waits for earlier changes. */
const DEADLINE_MS = 60_000

/** The agent refused, did not answer, or is not there. The message names the address and the next step. */
export class ClientError extends Error {
  override readonly name = 'ClientError'
  /** The status of gRPC, by name. */
  readonly code: string
  /** Nothing listens on the address. */
  readonly noAgent: boolean

  constructor(code: string, message: string, cause: unknown, noAgent = false) {
    super(message, { cause })
    this.code = code
    this.noAgent = noAgent
  }
}

function pem(text: string | undefined): Buffer | null {
  return text === undefined ? null : Buffer.from(text)
}

export class ApiClient implements Disposable {
  readonly #address: string
  readonly #client: Client

  /** `address`: as in `server.grpc`. It does not connect yet. `tls`: certificates in PEM, for a host and port. */
  constructor(address: string, tls?: TlsContents) {
    this.#address = address
    const secure =
      tls === undefined
        ? ChannelCredentials.createInsecure()
        : ChannelCredentials.createSsl(pem(tls.ca), pem(tls.key), pem(tls.cert))
    this.#client = new Client(address, secure, {
      'grpc.max_receive_message_length': MAX_ANSWER_BYTES,
      'grpc.enable_channelz': 0,
      // Else it uses the connection of another client, to an agent that no longer has the address.
      'grpc.use_local_subchannel_pool': 1,
    })
  }

  /** One request. Rejects with ClientError. */
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    deadlineMs: number = DEADLINE_MS,
  ): Promise<MessageShape<O>> {
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + deadlineMs }
      const done = (error: ServiceError | null, answer?: MessageShape<O>): void => {
        if (error === null && answer !== undefined) resolve(answer)
        else reject(this.#failure(error))
      }
      this.#client.makeUnaryRequest(...requestOf(method, request), options, done)
    })
  }

  /** A stream of answers, pulled; leaving the loop ends it, and so does `end`. Throws ClientError. `opened`: called when the agent has accepted. */
  async *stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    opened: () => void = () => {},
    end?: AbortSignal,
  ): AsyncGenerator<MessageShape<O>> {
    const call = this.#client.makeServerStreamRequest(...requestOf(method, request))
    call.once('metadata', opened)
    const listening = end && addAbortListener(end, () => call.cancel())
    try {
      for await (const message of call) yield message
    } catch (error) {
      if (end?.aborted !== true) throw this.#failure(error)
    } finally {
      listening?.[Symbol.dispose]()
      call.cancel()
    }
  }

  #failure(error: unknown): ClientError {
    const { code, details } = codeAndDetails(error)
    const noAgent = code === 'UNAVAILABLE' && /ENOENT|ECONNREFUSED/.test(details)
    return new ClientError(code, sentenceOf(code, details, this.#address), error, noAgent)
  }

  [Symbol.dispose](): void {
    this.#client.close()
  }
}

/** The path of a method, functions that serialize and parse its messages, and the request. */
function requestOf<I extends DescMessage, O extends DescMessage>(
  { parent, name, input, output }: DescMethodUnary<I, O> | DescMethodServerStreaming<I, O>,
  request: MessageInitShape<I>,
) {
  const serialize = (init: MessageInitShape<I>): Buffer => Buffer.from(toBinary(input, create(input, init)))
  const parse = (bytes: Buffer): MessageShape<O> => fromBinary(output, bytes)
  return [`/${parent.typeName}/${name}`, serialize, parse, request] as const
}

function codeAndDetails(error: unknown): { code: string; details: string } {
  if (!(error instanceof Error) || !('code' in error) || !('details' in error)) {
    return { code: 'UNKNOWN', details: String(error) }
  }
  return { code: status[Number(error.code)] ?? 'UNKNOWN', details: String(error.details) }
}

function sentenceOf(code: string, details: string, address: string): string {
  if (code === 'DEADLINE_EXCEEDED') return `the agent at ${address} did not answer in time`
  if (code !== 'UNAVAILABLE') return details
  if (/ENOENT|ECONNREFUSED/.test(details)) {
    return `no agent listens on ${address}: start it with ktrail run, or give its server.grpc with --server`
  }
  if (/EACCES|EPERM/.test(details)) return `cannot connect to ${address}: permission denied; run this as root`
  return `the agent at ${address} is not available: ${details}`
}
