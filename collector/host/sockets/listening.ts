/** A server at an address that others may hold: any user can be first at a port. Nothing else in the agent depends on it, so it tries again. */
import { backOffMs } from '../../../config/base/time/back-off.ts'
import { formatAddress } from '../../../config/base/addresses.ts'
import type { Address } from '../../../config/base/addresses.ts'
import { CollectorError } from '../../errors.ts'
import type { Log } from '../log.ts'

/**
 * The socket of the agent's pages, always there, for its own user. Commands try it first, because no other user can take it. One per host, as the
 * lock in this folder.
 */
export const SOCKET = '/run/ktrail/http.sock'

const FIRST_DELAY_MS = 1_000
const MAX_DELAY_MS = 10_000

/** `address`: the listening address, in the config's notation. */
export type Listener = AsyncDisposable & { readonly address: string }

export interface ListeningOptions {
  /** Label of the metric: http, http_socket or grpc. */
  readonly server: string
  readonly address: Address
  /** Rejects with CollectorError LISTEN_FAILED while the address is not available. */
  readonly open: () => Promise<Listener>
  readonly log: Pick<Log, 'info' | 'error'>
}

export class Listening implements AsyncDisposable {
  readonly server: string
  readonly #options: ListeningOptions
  #listener: Listener | undefined
  /** The reason why it does not listen; undefined while it does. */
  problem: string | undefined
  #failures = 0
  #timer: NodeJS.Timeout | undefined
  #trying: Promise<void> = Promise.resolve()
  #ended = false

  private constructor(options: ListeningOptions) {
    this.server = options.server
    this.#options = options
  }

  /** Resolves after the first try. Rejects if something else than the address fails. */
  static async start(options: ListeningOptions): Promise<Listening> {
    const listening = new Listening(options)
    await listening.#try()
    return listening
  }

  /** Undefined while the address is not available. */
  get address(): string | undefined {
    return this.#listener?.address
  }

  async #try(): Promise<void> {
    const { address, open, log } = this.#options
    try {
      this.#listener = await open()
      if (this.#failures > 0) log.info(`now listening on ${formatAddress(address)}`)
      this.problem = undefined
    } catch (error) {
      if (!(error instanceof CollectorError)) throw error
      this.problem = error.message
      if (this.#failures === 0) log.error(`${error.message}; events are still recorded, and the agent retries`)
      const delayMs = backOffMs(FIRST_DELAY_MS, MAX_DELAY_MS, this.#failures)
      this.#failures++
      if (!this.#ended) this.#timer = setTimeout(() => (this.#trying = this.#try()), delayMs)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true
    clearTimeout(this.#timer)
    await this.#trying
    await this.#listener?.[Symbol.asyncDispose]()
  }
}
