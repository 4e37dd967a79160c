/** Errors of the collector; config and native have their own. */
export type CollectorErrorCode =
  | 'NO_ROOT'
  | 'NO_BTF'
  | 'NO_KPROBES'
  | 'LOCKED_DOWN'
  | 'NO_DESCRIPTORS'
  | 'NOT_HOST'
  | 'ALREADY_RUNNING'
  | 'POLICY_REFUSED'
  | 'LISTEN_FAILED'
  | 'POLICY_EXISTS'
  | 'NO_SUCH_POLICY'
  | 'KUBERNETES_LOGIN'
  | 'KUBERNETES_UNREACHABLE'
  | 'KUBERNETES_BUSY'
  | 'KUBERNETES_REFUSED'
  | 'KUBERNETES_NOT_FOUND'
  | 'KUBERNETES_EXISTS'
  | 'KUBERNETES_EXPIRED'

/** The message has no trailing period: what failed, on what, expected, got, next step. `cause` keeps the underlying error. */
export class CollectorError extends Error {
  override readonly name = 'CollectorError'
  readonly code: CollectorErrorCode

  constructor(code: CollectorErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
