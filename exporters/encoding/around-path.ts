/** Bytes of calls that differ only in a path (`onlyPath` of an event): encoders make them once, and copy them around the path of each further call. */
import type { HookEvent } from '../contract/event.ts'

export interface Around {
  readonly before: Uint8Array
  readonly after: Uint8Array
}

/** `written`: all bytes of a call; `path`: the part of them that ends in its path, of `length` bytes. null: they do not have the path. */
export function aroundOf(written: Uint8Array, path: Buffer, length: number): Around | null {
  const at = Buffer.from(written.buffer).indexOf(path)
  const end = at + path.length
  return at < 0 ? null : { before: written.slice(0, end - length), after: written.slice(end) }
}

/** The path of an event with `onlyPath`. */
export function pathOf(event: HookEvent): string {
  const [first] = (event.view?.() ?? event).args
  return first?.kind === 'file' ? first.path : ''
}
