/** The agent's requests to a container runtime, whichever API it has, and the kept part of an answer. */
import type { NamedContainer } from '../../exporters/contract/event.ts'

export interface RuntimeApi extends Disposable {
  /** `docker`, `podman`, or the runtime's own name. */
  readonly name: string
  /**
   * The container whose id begins with this text, with all its labels; undefined: the runtime knows none. Rejects if the runtime does not answer as
   * expected.
   */
  container(shortId: string, signal: AbortSignal): Promise<NamedContainer | undefined>
}

/** Limit of an answer: one container takes a few KiB, and its labels may be many. */
export const MAX_CONTAINER_BYTES = 1 << 20
const MAX_NAME = 256
const MAX_IMAGE = 512
const MAX_LABEL = 1024
const ID = /^[0-9a-f]{64}$/

/** The kept part: only requested labels, and no more than 17 KiB. undefined for an answer about another container. */
export function keptOf(
  { id, name, image, imageId, labels }: NamedContainer,
  shortId: string,
  wanted: readonly string[],
): NamedContainer | undefined {
  if (!ID.test(id) || !id.startsWith(shortId) || name === '') return undefined
  const kept = wanted.flatMap((key) => {
    const value = Object.hasOwn(labels, key) ? labels[key] : undefined
    return value === undefined ? [] : [[key, cut(value, MAX_LABEL)] as const]
  })
  return {
    id,
    name: cut(name, MAX_NAME),
    image: cut(image, MAX_IMAGE),
    imageId: cut(imageId, MAX_IMAGE),
    labels: Object.fromEntries(kept),
  }
}

/** A copy: a part of a text would keep the whole answer in memory. */
function cut(text: string, characters: number): string {
  return Buffer.from(text.slice(0, characters)).toString()
}
