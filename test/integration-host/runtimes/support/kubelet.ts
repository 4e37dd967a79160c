/** Requests of kubelet to a runtime over the CRI API: enough for one container in a pod with the network of the host. */
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { ChannelCredentials, Client } from '@grpc/grpc-js'

/** Numbers of fields are those of k8s.io/cri-api, runtime.v1. */
const text = (out: BinaryWriter, field: number, value: string): BinaryWriter =>
  out.tag(field, WireType.LengthDelimited).string(value)
const integer = (out: BinaryWriter, field: number, value: number): BinaryWriter =>
  out.tag(field, WireType.Varint).int32(value)
function inside(out: BinaryWriter, field: number, fill: (out: BinaryWriter) => void): BinaryWriter {
  out.tag(field, WireType.LengthDelimited).fork()
  fill(out)
  return out.join()
}

const NODE = 2
const CONTAINER = 1

export interface CriContainer {
  readonly name: string
  readonly image: string
  readonly labels: Readonly<Record<string, string>>
}

export class Kubelet implements Disposable {
  readonly #client: Client

  constructor(socketPath: string) {
    this.#client = new Client(`unix://${socketPath}`, ChannelCredentials.createInsecure())
  }

  /** Runs a pod; returns the id of its pause container. */
  async pod(cgroup: string): Promise<string> {
    return idIn(await this.#call('RunPodSandbox', inside(new BinaryWriter(), 1, sandbox(cgroup))))
  }

  /** Runs a container in the pod; returns its id. */
  async container(pod: string, cgroup: string, { name, image, labels }: CriContainer): Promise<string> {
    const out = text(new BinaryWriter(), 1, pod)
    inside(out, 2, (config) => {
      inside(config, 1, (metadata) => void text(metadata, 1, name))
      inside(config, 2, (spec) => void text(spec, 1, image))
      for (const [key, value] of Object.entries(labels)) {
        inside(config, 9, (label) => void text(text(label, 1, key), 2, value))
      }
    })
    const id = idIn(await this.#call('CreateContainer', inside(out, 3, sandbox(cgroup))))
    await this.#call('StartContainer', text(new BinaryWriter(), 1, id))
    return id
  }

  async remove(pod: string): Promise<void> {
    await this.#call('StopPodSandbox', text(new BinaryWriter(), 1, pod))
    await this.#call('RemovePodSandbox', text(new BinaryWriter(), 1, pod))
  }

  #call(method: string, request: BinaryWriter): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        `/runtime.v1.RuntimeService/${method}`,
        (bytes: Uint8Array) => Buffer.from(bytes),
        (bytes) => bytes,
        request.finish(),
        { deadline: Date.now() + 60_000 },
        (error, answer) =>
          error === null && answer !== undefined ? resolve(answer) : reject(error ?? new Error('empty')),
      )
    })
  }

  [Symbol.dispose](): void {
    this.#client.close()
  }
}

function sandbox(cgroup: string): (out: BinaryWriter) => void {
  return (out) => {
    inside(out, 1, (metadata) => void text(text(text(metadata, 1, 'web'), 2, 'a-uid'), 3, 'shop'))
    inside(out, 8, (linux) => {
      text(linux, 1, cgroup)
      inside(linux, 2, (security) => void inside(security, 1, (of) => void integer(integer(of, 1, NODE), 2, CONTAINER)))
    })
  }
}

/** The first field of answers to create requests. */
function idIn(answer: Uint8Array): string {
  const reader = new BinaryReader(answer)
  reader.tag()
  return reader.string()
}
