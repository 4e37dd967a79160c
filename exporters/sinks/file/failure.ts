/** Messages and outcomes for failed system calls of the file exporter. */
import { errnoOf, ExportError, isNoSpace, textOf } from '../../contract/errors.ts'
import type { ExportErrorCode } from '../../contract/errors.ts'
import type { Outcome } from '../../contract/exporter.ts'

/** All but the first three need manual action; an error that is not listed may be temporary. */
const MESSAGES: Readonly<Record<string, readonly [what: string, next: string]>> = {
  ENOSPC: ['no space left on its file system', 'free some space'],
  EDQUOT: ['the disk quota is used up', 'free some space or raise the quota'],
  EIO: ['the device failed', 'check the kernel log'],
  EACCES: ['permission denied', 'give the agent write access to it and its folder'],
  EPERM: ['operation not permitted', 'check it for an immutable flag or a security policy'],
  EROFS: ['its file system is read-only', 'mount it writable or choose another path'],
  ENOENT: ['its folder does not exist', 'make the folder (only its last component is made by the agent)'],
  ENOTDIR: ['a part of its path is not a folder', 'choose another path'],
  EISDIR: ['expected a file, got a folder', 'use a file name in that folder'],
  ELOOP: ['expected a file, got a symbolic link', 'use the path that the link points to'],
  ENAMETOOLONG: ['its name is too long', 'choose a shorter one'],
  EFBIG: ['the file is larger than the process may write', 'raise the file size limit (ulimit -f) or lower max_size'],
  ENXIO: ['expected a regular file, got a socket', 'choose another path'],
}

/**
 * An ExportError with the action, file, error and next step. `after`: the automatic next step if the error may be
 * temporary.
 */
export function failure(
  action: string,
  path: string,
  cause: unknown,
  after = 'the events wait and are sent again',
): ExportError {
  if (cause instanceof ExportError) return cause
  const errno = errnoOf(cause)
  const code = codeOf(cause, errno)
  const [what, next] = MESSAGES[errno] ?? [textOf(cause)]
  const parts = [`cannot ${action} "${path}": ${what} (${errno || 'no errno'})`]
  if (next !== undefined) parts.push(next)
  if (code !== 'UNUSABLE') parts.push(after)
  return new ExportError(code, parts.join('; '), cause)
}

function codeOf(cause: unknown, errno: string): ExportErrorCode {
  if (isNoSpace(cause)) return 'NO_SPACE'
  return Object.hasOwn(MESSAGES, errno) && errno !== 'EIO' ? 'UNUSABLE' : 'IO'
}

/** The outcome of a batch whose first `taken` events are safely in the file. */
export function outcomeOf(error: ExportError, taken: number): Outcome {
  // `hold` cannot report taken events: they are reported first, and the next try returns `hold`.
  if (error.code === 'UNUSABLE' && taken === 0) return { status: 'hold', error }
  return { status: 'retryable', ...(taken === 0 ? {} : { taken }), unacknowledged: 0, error }
}
