const SENTENCES: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EACCES: 'permission denied; let the user that runs ktrail read it',
  EPERM: 'permission denied; let the user that runs ktrail read it',
  EISDIR: 'it is a folder; expected a regular file',
  ENOTDIR: 'a part of the path is not a folder',
  ELOOP: 'too many symbolic links',
  ENXIO: 'it is a socket or a missing device; expected a regular file',
  ENAMETOOLONG: 'the name is too long',
  EMFILE: 'the limit on open files is reached; raise it (ulimit -n, or LimitNOFILE= of the service)',
  ENFILE: "the system's limit on open files is reached; raise it (sysctl fs.file-max)",
}

/** The name of a failed system call's error (`ENOENT`), or '' when the error is of another kind. */
export function errnoOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

/** Why a file could not be read, in words; the system's own text for rare reasons. */
export function whyUnreadable(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return SENTENCES[errnoOf(error)] ?? error.message
}
