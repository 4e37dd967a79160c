/** The real API server for a test on a real kernel: beside the guest that runs it (beside-guest.ts), else a process of the test. */
import assert from 'node:assert/strict'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Asked, Beside } from './beside-guest.ts'
import { ApiServer, kubeconfigOf, kubernetesPrograms } from './server.ts'
import type { Cluster, Done } from './server.ts'

class BesideGuest implements Cluster {
  readonly #beside: Beside
  readonly #folder = mkdtempSync(path.join(tmpdir(), 'ktrail-cluster-'))

  constructor(beside: Beside) {
    this.#beside = beside
    writeFileSync(this.ca, beside.ca)
    writeFileSync(this.kubeconfig, JSON.stringify(this.kubeconfigOf({ token: beside.token })), { mode: 0o600 })
  }

  get kubeconfig(): string {
    return path.join(this.#folder, 'kubeconfig')
  }

  get ca(): string {
    return path.join(this.#folder, 'ca.pem')
  }

  get url(): string {
    return this.#beside.url
  }

  kubeconfigOf(user: object, server: string = this.url): object {
    return kubeconfigOf(user, server, this.ca)
  }

  async #ask(asked: Asked): Promise<unknown> {
    const headers = { authorization: `Bearer ${this.#beside.token}` }
    const answer = await fetch(this.#beside.control, { method: 'POST', headers, body: JSON.stringify(asked) })
    const text = await answer.text()
    assert.ok(answer.ok, text)
    return JSON.parse(text)
  }

  async kubectl(args: readonly string[], input = ''): Promise<Done> {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what beside-guest.ts answers
    return (await this.#ask({ kind: 'kubectl', args, input })) as Done
  }

  async helm(args: readonly string[], input = ''): Promise<Done> {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what beside-guest.ts answers
    return (await this.#ask({ kind: 'helm', args, input })) as Done
  }

  async apply(document: object | string): Promise<void> {
    const input = typeof document === 'string' ? document : JSON.stringify(document)
    const { code, stderr } = await this.kubectl(['apply', '-f', '-'], input)
    if (code !== 0) throw new Error(stderr)
  }

  async pause(): Promise<void> {
    await this.#ask({ kind: 'pause' })
  }

  async resume(): Promise<void> {
    await this.#ask({ kind: 'resume' })
  }

  /** It ends with its guest. */
  async [Symbol.asyncDispose](): Promise<void> {}
}

/** `missing`: why there is none. `cannot`: why a test cannot run even with one. */
export async function startCluster(cannot: string | false): Promise<Cluster | { readonly missing: string }> {
  const beside = process.env['KTRAIL_CLUSTER']
  const programs = beside === undefined ? await kubernetesPrograms() : { folder: '' }
  if ('missing' in programs) return programs
  if (cannot !== false) return { missing: cannot }
  return beside === undefined ? ApiServer.start(programs.folder) : new BesideGuest(JSON.parse(beside))
}
