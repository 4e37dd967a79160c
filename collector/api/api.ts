/** The agent's part that answers its API: events for live readers, policies at run time, and questions about the agent. */
import { readTlsFiles } from '../../exporters/index.ts'
import { Listening } from '../host/sockets/listening.ts'
import { ReaderCounts } from './events/reader-counts.ts'
import { ApiListener } from './listener.ts'
import type { ApiOptions, CountCalls } from './options.ts'

export class Api implements AsyncDisposable {
  readonly readers: ReaderCounts = new ReaderCounts()
  readonly #options: ApiOptions
  #listener: ApiListener | undefined
  /** Undefined when the API is disabled. */
  listening: Listening | undefined

  constructor(options: ApiOptions) {
    this.#options = options
  }

  /**
   * Listens, or continues to try. Returns the address; undefined while the address is taken, and if the API is disabled. Throws ExportError
   * UNUSABLE for wrong certificates.
   */
  async serve(): Promise<string | undefined> {
    const { config, log } = this.#options
    const { grpc: address, tls } = config.server
    if (address === 'disabled') return undefined
    const certificates = tls && (await readTlsFiles({ ...tls, server_name: undefined, insecure_skip_verify: false }))
    const load = async (count: CountCalls) =>
      (await import('./server.ts')).serverOf(this.#options, this.readers, certificates, count)
    const open = async () => (this.#listener = await ApiListener.start({ address, load, log }))
    this.listening = await Listening.start({ server: 'grpc', address, open, log })
    return this.listening.address
  }

  /** Loads the server early, for clients that must not wait: hooks of container runtimes. */
  async load(): Promise<void> {
    await this.#listener?.load()
  }

  /** Listens no more; present clients stay. */
  leave(): void {
    this.#listener?.listener.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.listening?.[Symbol.asyncDispose]()
  }
}
