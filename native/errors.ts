import { explainLoad } from './load-log.ts'

/** Why a native call failed; the closed list. */
export type NativeErrorCode =
  | 'ATTACH_FAILED' // the kernel refused an attachment for another reason than those below
  | 'BAD_ARGUMENT'
  | 'CLOSED'
  | 'LOAD_FAILED' // a load failed, and not in the verifier
  | 'LOAD_REFUSED' // the verifier refused a program; `log` is its whole log
  | 'MAP_FAILED'
  | 'NOT_BUILT'
  | 'NOT_PERMITTED'
  | 'NO_BTF'
  | 'NO_CONSTANT'
  | 'NO_DESCRIPTORS' // the limit on open files of the process, or of the system, is reached
  | 'NO_MAP'
  | 'NO_PROGRAM'
  | 'NO_SYMBOL'
  | 'OPEN_FAILED'
  | 'UNSUPPORTED' // this kernel lacks the attach kind or the feature

const CODES: ReadonlySet<string> = new Set<NativeErrorCode>([
  'ATTACH_FAILED',
  'BAD_ARGUMENT',
  'CLOSED',
  'LOAD_FAILED',
  'LOAD_REFUSED',
  'MAP_FAILED',
  'NOT_BUILT',
  'NOT_PERMITTED',
  'NO_BTF',
  'NO_CONSTANT',
  'NO_DESCRIPTORS',
  'NO_MAP',
  'NO_PROGRAM',
  'NO_SYMBOL',
  'OPEN_FAILED',
  'UNSUPPORTED',
])

/** What the addon hands over when a call fails: `message` is a sentence, `log` what libbpf and the verifier said. */
export interface Failure {
  readonly code: string
  readonly errno: number
  readonly op: string
  readonly target: string
  readonly message: string
  readonly log: string
}

/**
 * The one error of this room. `op` is the call, `target` what it was about (symbol, map, program, file), `errno` the
 * kernel's number or 0, `log` libbpf's and the verifier's whole text or ''; a log is also the `cause`.
 */
export class NativeError extends Error {
  override readonly name = 'NativeError'
  readonly code: NativeErrorCode
  readonly errno: number
  readonly op: string
  readonly target: string
  readonly log: string

  constructor(code: NativeErrorCode, message: string, detail: Partial<Omit<Failure, 'code' | 'message'>> = {}) {
    const log = detail.log ?? ''
    super(message, log === '' ? {} : { cause: log })
    this.code = code
    this.errno = detail.errno ?? 0
    this.op = detail.op ?? ''
    this.target = detail.target ?? ''
    this.log = log
  }
}

/** By errno, on every architecture: EMFILE and ENFILE. */
const LIMITS: Readonly<Record<number, string>> = {
  24: 'the limit on open files of this process is reached; raise it (ulimit -n, or LimitNOFILE= of the service)',
  23: 'the limit on open files of this system is reached; raise it (sysctl fs.file-max)',
}

function isCode(code: string): code is NativeErrorCode {
  return CODES.has(code)
}

/** Makes the error of an addon's failure; of a failed load it says which program or map, and why. Never throws. */
export function toNativeError(failure: Failure): NativeError {
  // Before all else: libbpf says it of whatever came first, a map, a program's load or its attachment.
  const limit = LIMITS[failure.errno]
  if (limit !== undefined) return new NativeError('NO_DESCRIPTORS', `${failure.message}: ${limit}`, failure)
  if (failure.code === 'LOAD_REFUSED') {
    const { code, message, target } = explainLoad(failure)
    return new NativeError(code, message, { ...failure, target })
  }
  // A code outside the list means an addon of another version; the sentence is still the addon's.
  return new NativeError(isCode(failure.code) ? failure.code : 'UNSUPPORTED', failure.message, failure)
}
