/** Why a native call failed; the closed list. */
export const NATIVE_ERROR_CODES = [
  'ATTACH_FAILED', // the kernel refused an attachment for another reason than those below
  'BAD_ARGUMENT',
  'CLOSED',
  'LOAD_FAILED', // a load failed, and not in the verifier
  'LOAD_REFUSED', // the verifier refused a program; `log` is its whole log
  'MAP_FAILED',
  'NOT_BUILT',
  'NOT_PERMITTED',
  'NO_BTF',
  'NO_CONSTANT',
  'NO_DESCRIPTORS', // the limit on open files of the process, or of the system, is reached
  'NO_MAP',
  'NO_PROGRAM',
  'NO_SYMBOL',
  'OPEN_FAILED',
  'UNSUPPORTED', // this kernel lacks the attach kind or the feature
] as const

export type NativeErrorCode = (typeof NATIVE_ERROR_CODES)[number]

/** The failure of a call, as the addon reports it: `message` is a sentence, `log` the lines that libbpf and the verifier logged. */
export interface Failure {
  readonly code: string
  readonly errno: number
  readonly op: string
  readonly target: string
  readonly message: string
  readonly log: string
}

/**
 * The one error of this room. `op` is the call, `target` its object (symbol, map, program, file), `errno` the kernel's
 * number or 0. `log` is libbpf's and the verifier's whole text or ''; a log is also the `cause`.
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
