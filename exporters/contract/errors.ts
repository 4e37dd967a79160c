/** Every way in which an exporter or its sending chain can fail: a closed list. */
export type ExportErrorCode =
  /** The configuration can never work: wrong kind of file, no right, an address that is none. */
  | 'UNUSABLE'
  /** An exporter cannot be made of its config: the agent does not start. */
  | 'EXPORTER_REFUSED'
  | 'NO_SPACE'
  | 'IO'
  | 'SYNC_FAILED'
  | 'CLOSED'
  | 'TIMEOUT'
  | 'ABORTED'
  /** The exporter broke its contract (threw, or claimed more than it was given). */
  | 'CONTRACT'

/**
 * The one error of this room. `code` is for programs, the message is a sentence for people (what, on what, got,
 * next step), `cause` keeps what the system said.
 */
export class ExportError extends Error {
  override readonly name = 'ExportError'
  readonly code: ExportErrorCode

  constructor(code: ExportErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}

/** `errno` name of a failed system call (`ENOSPC`), or '' when the error is of another kind. */
export function errnoOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

/** Whether a system call failed for want of room, on the disk or in a quota. */
export function isNoSpace(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes(errnoOf(error))
}

/** What an unknown thrown value says, never empty. Does not throw: the value may be anybody's, with getters of its own. */
export function textOf(error: unknown): string {
  try {
    if (error instanceof Error) return String(error.message) || errnoOf(error) || String(error.name)
    return typeof error === 'string' && error !== '' ? error : `threw ${String(error)}, expected an Error`
  } catch {
    return 'threw something that can not be shown'
  }
}
