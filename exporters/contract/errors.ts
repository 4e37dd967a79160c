/** All ways in which an exporter or its sending chain can fail. */
export type ExportErrorCode =
  /** The configuration can never work: wrong kind of file, missing permission, invalid address. */
  | 'UNUSABLE'
  /** The exporter cannot be created from its config; the agent does not start. */
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
 * The error class of `exporters/`. `code` is for programs, the message for people (failure, its object, got, next step),
 * `cause` is the system's own error.
 */
export class ExportError extends Error {
  override readonly name = 'ExportError'
  readonly code: ExportErrorCode

  constructor(code: ExportErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}

/** `errno` name of a failed system call (`ENOSPC`); '' for any other error. */
export function errnoOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

/** Whether a system call failed because the disk or a quota is full. */
export function isNoSpace(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes(errnoOf(error))
}

export function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}

/** For `catch`: undefined if there is no such file; throws any other error. */
export function ifMissing(error: unknown): undefined {
  if (errnoOf(error) === 'ENOENT') return undefined
  throw error
}

/** The message of any thrown value, never empty. Does not throw, even if a getter of the value does. */
export function textOf(error: unknown): string {
  try {
    if (error instanceof Error) return String(error.message) || errnoOf(error) || String(error.name)
    return typeof error === 'string' && error !== '' ? error : `threw ${String(error)}, expected an Error`
  } catch {
    return 'threw something that cannot be shown'
  }
}
