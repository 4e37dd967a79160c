/** Volumes of a pod as kubelet makes them. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Cluster } from './server.ts'
import { bytesOf } from './pod-spec.ts'
import type { Mount, MountOptions, PodSpec, Source } from './pod-spec.ts'

interface VolumeOptions {
  readonly folder: string
  readonly cluster: Cluster
  readonly get: <T>(kind: string, name: string) => Promise<T>
}

export class PodVolumes {
  readonly #pod: { readonly metadata: { readonly namespace: string }; readonly spec: PodSpec }
  readonly #options: VolumeOptions

  constructor(
    pod: { readonly metadata: { readonly namespace: string }; readonly spec: PodSpec },
    options: VolumeOptions,
  ) {
    this.#pod = pod
    this.#options = options
  }

  /** The folder with the credentials of the pod's service account, if it gets them. */
  get account(): string | undefined {
    const { automountServiceAccountToken: wanted = true } = this.#pod.spec
    return wanted ? join(this.#options.folder, 'account') : undefined
  }

  async make(): Promise<void> {
    for (const { name, hostPath } of this.#pod.spec.volumes ?? []) {
      mkdirSync(this.#at(name), { recursive: true })
      // DirectoryOrCreate requires it; other paths of the chart must exist.
      if (hostPath?.type === 'DirectoryOrCreate') mkdirSync(hostPath.path, { recursive: true, mode: 0o755 })
    }
    await this.refresh()
  }

  /** Writes the volumes that come from the API server. */
  async refresh(): Promise<void> {
    const { metadata, spec } = this.#pod
    for (const { name, projected } of spec.volumes ?? []) {
      if (projected !== undefined) swap(this.#at(name), await this.#filesOf(projected.sources), projected.defaultMode)
    }
    if (this.account === undefined) return
    const { cluster } = this.#options
    const account = spec.serviceAccountName ?? 'default'
    const { code, stdout, stderr } = await cluster.kubectl(['create', 'token', account, '-n', metadata.namespace])
    assert.equal(code, 0, stderr)
    const files = { token: stdout.trim(), 'ca.crt': readFileSync(cluster.ca, 'utf8'), namespace: metadata.namespace }
    swap(this.account, new Map(Object.entries(files)))
  }

  #at(name: string): string {
    return join(this.#options.folder, name)
  }

  async #filesOf(sources: readonly Source[]): Promise<Map<string, string>> {
    const files = new Map<string, string>()
    for (const { configMap, secret } of sources) {
      const [kind, from] = configMap === undefined ? (['secret', secret] as const) : (['configmap', configMap] as const)
      assert.ok(from, 'a projected source that is a ConfigMap or a Secret')
      const { data = {} } = await this.#options.get<{ data?: Record<string, string> }>(kind, from.name)
      for (const { key, path } of from.items ?? Object.keys(data).map((each) => ({ key: each, path: each }))) {
        const text = data[key] ?? assert.fail(`${kind} ${from.name} has no key ${key}`)
        files.set(path, kind === 'secret' ? Buffer.from(text, 'base64').toString() : text)
      }
    }
    return files
  }

  mount({ name, readOnly = false }: Mount): MountOptions {
    const mode = readOnly ? 'ro' : 'rw'
    const volume = this.#pod.spec.volumes?.find((each) => each.name === name) ?? assert.fail(`no volume ${name}`)
    if (volume.emptyDir?.medium === 'Memory') {
      const size = volume.emptyDir.sizeLimit === undefined ? [] : [`size=${bytesOf(volume.emptyDir.sizeLimit)}`]
      return { type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=1777', mode, ...size] }
    }
    return { type: 'bind', source: volume.hostPath?.path ?? this.#at(name), options: ['rbind', mode] }
  }
}

/** All at once: a folder of the moment, to which `..data` points. */
function swap(folder: string, files: ReadonlyMap<string, string>, mode = 0o644): void {
  const now = `..${process.hrtime.bigint()}`
  mkdirSync(join(folder, now), { recursive: true })
  for (const [path, text] of files) {
    mkdirSync(dirname(join(folder, now, path)), { recursive: true })
    writeFileSync(join(folder, now, path), text, { mode })
    const [top = ''] = path.split('/')
    if (!readdirSync(folder).includes(top)) symlinkSync(join('..data', top), join(folder, top))
  }
  symlinkSync(now, join(folder, '..new'))
  renameSync(join(folder, '..new'), join(folder, '..data'))
}
