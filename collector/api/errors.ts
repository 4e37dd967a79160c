/** Refusals of the API. */
import { status } from '@grpc/grpc-js'

/** A refused request: a status of gRPC, with the expected value, the given one, and the next step. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly code: number

  constructor(code: keyof typeof status, message: string) {
    super(message)
    this.code = status[code]
  }
}
