/** What can go wrong in the collector itself; config and native bring their own. */
export type CollectorErrorCode =
  | 'NO_ROOT'
  | 'NO_BTF'
  | 'NO_KPROBES'
  | 'NO_DESCRIPTORS'
  | 'NOT_HOST'
  | 'ALREADY_RUNNING'
  | 'POLICY_REFUSED'
  | 'LISTEN_FAILED'
  | 'POLICY_EXISTS'

/** A sentence without a trailing period: what failed, on what, expected, got, next step. `cause` keeps the error behind. */
export class CollectorError extends Error {
  override readonly name = 'CollectorError'
  readonly code: CollectorErrorCode

  constructor(code: CollectorErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
