/** Adds methods of protobuf services to a gRPC server: decoding, encoding, and errors as a status with a sentence. */
import type { Writable } from 'node:stream'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type {
  DescMessage,
  DescMethod,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf'
import { status } from '@grpc/grpc-js'
import type { MethodDefinition, Server, ServerDuplexStream, ServerUnaryCall, ServerWritableStream } from '@grpc/grpc-js'
import type { sendUnaryData } from '@grpc/grpc-js'
import type { Log } from '../host/log.ts'
import { ApiError } from './errors.ts'
import type { CountCalls } from './options.ts'
import { Share } from './share.ts'

export type StreamCall<I extends DescMessage> = ServerWritableStream<MessageShape<I>, Uint8Array>

/** `path` of a method, such as `/tetragon.FineGuidanceSensors/GetEvents`. */
function definitionOf(method: DescMethod, service: string): MethodDefinition<unknown, Uint8Array> {
  return {
    path: `/${service}/${method.name}`,
    requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
    responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
    requestSerialize: (request) => bufferOf(toBinary(method.input, request as MessageShape<DescMessage>)),
    requestDeserialize: (bytes) => fromBinary(method.input, bytes),
    responseSerialize: bufferOf,
    responseDeserialize: (bytes) => bytes,
  }
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}

export class Methods {
  readonly #server: Pick<Server, 'addService'>
  readonly #log: Pick<Log, 'error'>
  readonly #share = new Share()

  readonly #count: CountCalls

  constructor(server: Pick<Server, 'addService'>, log: Pick<Log, 'error'>, count: CountCalls = () => {}) {
    this.#server = server
    this.#log = log
    this.#count = count
  }

  /** `peer`: the client, as `namePeer` or the address of the connection has it. */
  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    answer: (request: MessageShape<I>, peer: string) => MessageInitShape<O> | Promise<MessageInitShape<O>>,
  ): void {
    const handle = (call: ServerUnaryCall<MessageShape<I>, Uint8Array>, reply: sendUnaryData<Uint8Array>): void => {
      const make = async (): Promise<Uint8Array> => {
        const init = await answer(call.request, call.getPeer())
        return toBinary(method.output, create(method.output, init))
      }
      this.#share
        .answer(call, make, (bytes) => reply(null, bytes))
        .catch((error: unknown) => reply(this.#statusOf(method, error)))
    }
    this.#add(method, method.parent.typeName, handle)
  }

  /** `run` writes encoded messages; the stream ends when it resolves. */
  serverStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    run: (call: StreamCall<I>) => Promise<void>,
  ): void {
    this.#add(method, method.parent.typeName, (call: StreamCall<I>) => this.#stream(method, call, () => run(call)))
  }

  /** A conversation in which each request gets one answer. `service`: its name, if it differs from the method's. */
  conversation<I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { readonly input: I; readonly output: O },
    service: string,
    answer: (request: MessageShape<I>) => MessageInitShape<O>,
  ): void {
    const handle = (call: ServerDuplexStream<MessageShape<I>, Uint8Array>): void => {
      const run = async (): Promise<void> => {
        const requests: AsyncIterable<MessageShape<I>> = call.iterator({ destroyOnReturn: false })
        for await (const request of requests) {
          const make = (): Uint8Array => toBinary(method.output, create(method.output, answer(request)))
          // A client that does not read gets no further answers until it reads.
          await this.#share.answer(call, make, (bytes, taken) => void call.write(bytes, taken))
        }
      }
      this.#stream(method, call, run)
    }
    this.#add(method, service, handle)
  }

  #stream(method: DescMethod, call: Writable, run: () => Promise<void>): void {
    call.on('error', () => {}) // the client has disconnected
    run().then(
      () => call.end(),
      // grpc-js sends the fields of an error event as the status of the stream.
      (error: unknown) => void call.emit('error', this.#statusOf(method, error)),
    )
  }

  #add<C extends { getPeer(): string; once(event: 'cancelled', run: () => void): unknown }>(
    method: DescMethod,
    service: string,
    handle: (call: C, reply: sendUnaryData<Uint8Array>) => void,
  ): void {
    const counted = (call: C, reply: sendUnaryData<Uint8Array>): void => {
      const peer = call.getPeer()
      this.#count(peer, 1)
      // Emitted at the end of each call, even of an answered one.
      call.once('cancelled', () => this.#count(peer, -1))
      handle(call, reply)
    }
    this.#server.addService({ [method.name]: definitionOf(method, service) }, { [method.name]: counted as never })
  }

  #statusOf(method: DescMethod, error: unknown): { code: number; details: string } {
    if (error instanceof ApiError) return { code: error.code, details: error.message }
    const what = error instanceof Error ? error.message : String(error)
    this.#log.error({ method: method.name, error: String(error) }, 'a request to the API failed')
    return { code: status.INTERNAL, details: `${method.name} failed: ${what}` }
  }
}
