/** The API of an agent without a kernel, on a Unix socket: real delivery, policies and process table. */
import { pino } from 'pino'
import { Api } from '../../../../../collector/api/api.ts'
import { Delivery } from '../../../../../collector/delivery/delivery.ts'
import { LostRanges } from '../../../../../collector/delivery/lost-ranges.ts'
import { Announcements } from '../../../../../collector/identity/announced.ts'
import { Policies } from '../../../../../collector/policies/registry.ts'
import type { ProcessTable } from '../../../../../collector/process/table.ts'
import { configOrThrow } from '../../../../../config/agent/check.ts'
import { loadConfig } from '../../../../../config/agent/load.ts'
import type { Change, Timestamp } from '../../../../../exporters/contract/event.ts'
import { EncoderPool, FanOut } from '../../../../../exporters/index.ts'
import type { Route } from '../../../../../exporters/fanout.ts'
import { Folder } from '../../../exporters/support/folder.ts'
import { kernel as facts } from '../../support/facts.ts'
import { FakeKernel } from '../../support/policies.ts'
import { NODE, newTable } from '../../support/processes.ts'
import { TableClient } from './tables.ts'

export const NOW: Timestamp = { sec: 1713061094, nsec: 376304204 }

export class Rig implements AsyncDisposable {
  readonly folder: Folder = new Folder()
  readonly path: string = this.folder.at('a/ktrail.sock')
  readonly delivery: Delivery
  readonly kernel: FakeKernel = new FakeKernel()
  readonly changes: Array<Omit<Change, 'count'>> = []
  readonly policies: Policies = new Policies(this.kernel, (change) => void this.changes.push(change))
  readonly processes: ProcessTable = newTable()
  readonly announced: Announcements = new Announcements()
  /** Lines of the agent's log. */
  readonly logged: string[] = []
  readonly log = pino({ level: 'info', base: null }, { write: (line: string) => this.logged.push(line) })
  readonly api: Api
  ready = true
  #clients: TableClient[] = []

  /** `server`: the keys of `server:` in the config, instead of the address of the socket. */
  constructor(
    server?: string,
    exporters = 'archive: { type: file, path: /x/events.jsonl }',
    routes: readonly Route[] = [],
  ) {
    const keys = server ?? `grpc: "unix://${this.path}"`
    const text = `server: { ${keys} }\nexporters: { ${exporters} }\n`
    this.delivery = new Delivery(new FanOut(routes), new LostRanges('e'), {
      nodeName: NODE,
      epoch: 'e',
      encoders: new EncoderPool(NODE),
      env: {},
      log: this.log,
    })
    this.api = new Api({
      delivery: this.delivery,
      ingest: { now: () => NOW, processes: this.processes },
      policies: this.policies,
      announced: this.announced,
      nodeName: NODE,
      config: configOrThrow(loadConfig(text, 'c.yaml', {})).config,
      facts: facts(6, 12),
      log: this.log,
      ready: () => this.ready,
    })
  }

  /** Serves; returns a client. */
  static async start(...args: ConstructorParameters<typeof Rig>): Promise<Rig> {
    const rig = new Rig(...args)
    await rig.api.serve()
    return rig
  }

  /** A new connection. */
  client(): TableClient {
    const client = new TableClient(`unix://${this.path}`)
    this.#clients.push(client)
    return client
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client[Symbol.dispose]()
    await this.api[Symbol.asyncDispose]()
    this.folder[Symbol.dispose]()
  }
}
