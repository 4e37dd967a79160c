/** What failed system calls mean for the file exporter, and the sentences for them. */
import { errnoOf, ExportError, textOf } from '../../contract/errors.ts'
import type { ExportErrorCode } from '../../contract/errors.ts'
import type { Outcome } from '../../contract/exporter.ts'

/** What goes away only when a person does something. Everything else may pass by itself. */
const NEEDS_PERSON: ReadonlySet<string> = new Set([
  'EACCES',
  'EPERM',
  'EROFS',
  'ENOENT',
  'ENOTDIR',
  'EISDIR',
  'ELOOP',
  'ENAMETOOLONG',
  'EFBIG',
  'ENXIO',
])

const SAYS: Readonly<Record<string, readonly [what: string, next: string]>> = {
  ENOSPC: ['no space left on its file system', 'free some space'],
  EDQUOT: ['the disk quota is used up', 'free some space or raise the quota'],
  EIO: ['the device failed', 'look at the kernel log'],
  EACCES: ['permission denied', 'give the agent write access to it and its folder'],
  EPERM: ['operation not permitted', 'look for an immutable flag or a security policy on it'],
  EROFS: ['its file system is read-only', 'mount it writable or choose another path'],
  ENOENT: ['its folder does not exist', 'make the folder (only its last component is made by the agent)'],
  ENOTDIR: ['a part of its path is not a folder', 'choose another path'],
  EISDIR: ['expected a file, got a folder', 'give a file name in that folder'],
  ELOOP: ['expected a file, got a symbolic link', 'give the path that the link points to'],
  ENAMETOOLONG: ['its name is too long', 'choose a shorter one'],
  EFBIG: ['the file is larger than the process may write', 'raise the file size limit (ulimit -f) or lower max_size'],
  ENXIO: ['expected a regular file, got a socket', 'choose another path'],
}

/**
 * An ExportError whose sentence says what was done to which file, what came back and what to do. `after`: what happens
 * by itself, when it may pass.
 */
export function failure(
  action: string,
  path: string,
  cause: unknown,
  after = 'the events wait and are tried again',
): ExportError {
  if (cause instanceof ExportError) return cause
  const errno = errnoOf(cause)
  const code = codeOf(errno)
  const [what, next] = SAYS[errno] ?? [textOf(cause)]
  const said = [`cannot ${action} "${path}": ${what} (${errno || 'no errno'})`]
  if (next !== undefined) said.push(next)
  if (code !== 'UNUSABLE') said.push(after)
  return new ExportError(code, said.join('; '), cause)
}

function codeOf(errno: string): ExportErrorCode {
  if (errno === 'ENOSPC' || errno === 'EDQUOT') return 'NO_SPACE'
  return NEEDS_PERSON.has(errno) ? 'UNUSABLE' : 'IO'
}

/** The outcome of a batch of which the first `taken` events are safely in the file. */
export function outcomeOf(error: ExportError, taken: number): Outcome {
  // `hold` has no way to say that some were taken: those count first, and the next try says `hold`.
  if (error.code === 'UNUSABLE' && taken === 0) return { status: 'hold', error }
  return { status: 'retryable', ...(taken === 0 ? {} : { taken }), unacknowledged: 0, error }
}
