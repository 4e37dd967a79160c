/** The labels of this node at the API server, for the nodeSelector of policies. They are requested when the first policy has one. */
import { Informer } from '../kubernetes/informer.ts'
import type { InformerOptions } from '../kubernetes/informer.ts'
import type { Log } from '../host/log.ts'

export interface NodeLabelsOptions {
  readonly client: InformerOptions<object>['client']
  /** The node's name in Kubernetes. */
  readonly nodeName: string
  readonly log: Pick<Log, 'warn'>
  /** Called when the labels have changed, or become known. */
  readonly onChange: () => void
}

type Labels = Readonly<Record<string, string>>

export class NodeLabels implements AsyncDisposable {
  readonly #options: NodeLabelsOptions
  #informer: Informer<Labels> | undefined
  readonly #asked = Promise.withResolvers<void>()
  #answered = false

  constructor(options: NodeLabelsOptions) {
    this.#options = options
  }

  /** Resolves after any answer of the API server; undefined if the labels are not known. */
  async read(): Promise<Labels | undefined> {
    const { nodeName } = this.#options
    this.#informer ??= this.#follow()
    await this.#asked.promise
    return this.#informer.get('', nodeName)
  }

  #follow(): Informer<Labels> {
    const { client, nodeName, log, onChange } = this.#options
    const informer = new Informer<Labels>({
      client,
      resource: { group: '', version: 'v1', name: 'nodes' },
      fieldSelector: `metadata.name=${nodeName}`,
      read: ({ metadata }) => labelsOf(metadata['labels']),
      onSet: (labels, before) => {
        if (informer.listed && JSON.stringify(labels) !== JSON.stringify(before)) onChange()
      },
      onListed: () => {
        if (informer.size === 0) log.warn(unknown(`no node is named ${JSON.stringify(nodeName)}`))
        // After a refusal, policies were attached without labels.
        if (this.#answered) onChange()
        this.#answer()
      },
      onProblem: (problem) => {
        if (problem === undefined) return
        log.warn(unknown(problem))
        this.#answer()
      },
    })
    informer.start()
    return informer
  }

  #answer(): void {
    this.#answered = true
    this.#asked.resolve()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#asked.resolve()
    await this.#informer?.[Symbol.asyncDispose]()
  }
}

const unknown = (why: string): string =>
  `the labels of this node are unknown or outdated; while they are unknown, policies with a nodeSelector are attached: ${why}`

function labelsOf(value: unknown): Labels {
  const entries = typeof value === 'object' && value !== null ? Object.entries(value) : []
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'))
}
