/**
 * Processes of calls by another user than that of their exec, such as those of a server that has given up its privileges: copies with that user.
 *
 * Constraint: calls in a row have one object, because encoders and filters keep results with it. Only the last such user of an image is kept, within
 * the budget of renderings.
 */
import type { Process } from '../../exporters/contract/event.ts'
import type { Details } from './detail/details.ts'
import type { Image } from './image.ts'

/** Approximate memory of a copy, which shares its texts. */
const COPY_BYTES = 600

export class Callers {
  readonly #details: Details | undefined
  /** By `Rendered.key`, so that a change of the process discards its copy. */
  readonly #copies = new WeakMap<object, Process>()

  constructor(details: Details | undefined) {
    this.#details = details
  }

  /** The image's process at a call by this user. The `refcnt` of a copy is that of its beginning. */
  of({ process, details }: Image, uid: number): Process {
    if (process.uid === uid) return process
    const rendered = process.rendered.touch()
    const before = this.#copies.get(rendered.key)
    if (before?.uid === uid) return before
    const named = details && this.#details?.named(details, uid)
    const copy = { ...process, uid, details: named?.shown, rendered: rendered.copy(before?.rendered) }
    if (before !== undefined || rendered.charge(COPY_BYTES + (named?.bytes ?? 0))) this.#copies.set(rendered.key, copy)
    return copy
  }
}
