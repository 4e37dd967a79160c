/**
 * The work of a kubelet and its runtime with the pod of a DaemonSet, for tests on a real kernel. They make the pod, its volumes and its
 * containers (runc) in kubelet's cgroups, and report their state. Arguments, variables, mounts, rights, memory limit and probes are those of
 * the API server. Tests start and end pods in place of a scheduler and the DaemonSet's controller. Pods share the network of the node here,
 * and neither seccomp nor AppArmor has a profile.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster } from './server.ts'
import { RunningContainer, bundleOf } from './pod-container.ts'
import type { Container, Image, MountOptions, PodSpec } from './pod-spec.ts'
import { PodVolumes } from './pod-volumes.ts'

export interface KubeletOptions {
  readonly cluster: Cluster
  readonly node: string
  /** By name, as pods name them. */
  readonly images: Readonly<Record<string, Image>>
  /** A fresh folder on the guest's tmpfs. */
  readonly folder: string
  /** The runtime reads hooks from there, as CRI-O does. */
  readonly hooks?: string
  /** Changes the command of a hook for a slow guest. */
  readonly slowHook?: (text: string) => string
}

interface Meta {
  readonly name: string
  readonly namespace: string
  readonly uid: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
}
interface PodObject {
  readonly metadata: Meta
  readonly spec: PodSpec
}
interface DaemonSet {
  readonly metadata: Meta
  readonly spec: { readonly template: { readonly metadata: Partial<Meta>; readonly spec: PodSpec } }
}

/** Report of kubelet about a running container; the rest of its status is the same for all. */
export interface Reported {
  readonly name: string
  readonly id: string
  /** Prefix of the id; default containerd. */
  readonly runtime?: string
  readonly image: string
  readonly imageID: string
  readonly startedAt: string
}

export async function reportRunning(
  cluster: Cluster,
  pod: string,
  containers: readonly Reported[],
  namespace = 'default',
): Promise<void> {
  const containerStatuses = containers.map(({ id, runtime = 'containerd', startedAt, ...rest }) => ({
    ...rest,
    containerID: `${runtime}://${id}`,
    ready: true,
    restartCount: 0,
    state: { running: { startedAt } },
  }))
  const patch = JSON.stringify({ status: { containerStatuses } })
  const words = ['patch', 'pod', pod, '-n', namespace, '--subresource=status', '--type=merge', '-p', patch]
  const { code, stderr } = await cluster.kubectl(words)
  assert.equal(code, 0, stderr)
}

export class Kubelet {
  readonly #options: KubeletOptions

  constructor(options: KubeletOptions) {
    this.#options = options
  }

  async #get<T>(namespace: string, ...words: readonly string[]): Promise<T> {
    const { code, stdout, stderr } = await this.#options.cluster.kubectl([
      'get',
      '-n',
      namespace,
      '-o',
      'json',
      ...words,
    ])
    assert.equal(code, 0, stderr)
    return JSON.parse(stdout) as T
  }

  /** Makes a pod of the template that the DaemonSet has now, and starts it. */
  async startOf(daemonSet: string, namespace: string): Promise<RunningPod> {
    const { cluster, node } = this.#options
    const { metadata: of, spec } = await this.#get<DaemonSet>(namespace, 'daemonset', daemonSet)
    const owner = { apiVersion: 'apps/v1', kind: 'DaemonSet', name: of.name, uid: of.uid, controller: true }
    const name = `${of.name}-${randomBytes(3).toString('hex')}`
    await cluster.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { ...spec.template.metadata, name, namespace, ownerReferences: [owner] },
      spec: { ...spec.template.spec, nodeName: node },
    })
    return this.start(name, namespace)
  }

  /** Starts a pod that the API server has. */
  async start(name: string, namespace: string): Promise<RunningPod> {
    const pod = await this.#get<PodObject>(namespace, 'pod', name)
    const running = new RunningPod(pod, this.#options, (kind, object) => this.#get(namespace, kind, object))
    await running.start()
    return running
  }
}

export class RunningPod {
  readonly name: string
  readonly namespace: string
  readonly uid: string
  readonly #pod: PodObject
  readonly #options: KubeletOptions
  readonly #folder: string
  readonly #volumes: PodVolumes
  readonly #containers = new Map<string, RunningContainer>()

  constructor(pod: PodObject, options: KubeletOptions, get: <T>(kind: string, name: string) => Promise<T>) {
    this.#pod = pod
    this.#options = options
    this.name = pod.metadata.name
    this.namespace = pod.metadata.namespace
    this.uid = pod.metadata.uid
    this.#folder = join(options.folder, this.name)
    mkdirSync(this.#folder)
    this.#volumes = new PodVolumes(pod, { folder: join(this.#folder, 'volumes'), cluster: options.cluster, get })
  }

  async start(): Promise<void> {
    const { initContainers = [], containers } = this.#pod.spec
    await this.#volumes.make()
    for (const container of initContainers) {
      const { code, log } = await this.#run(container).ended
      assert.equal(code, 0, `init container ${container.name}: ${log()}`)
    }
    for (const container of containers) this.#containers.set(container.name, this.#run(container))
    await this.report()
  }

  /** Reports that its containers run. */
  async report(): Promise<void> {
    const startedAt = `${new Date().toISOString().slice(0, 19)}Z`
    const all = this.#pod.spec.containers.map(({ name, image }) => ({
      name,
      id: this.container(name).id,
      image,
      imageID: `sha256:${'0'.repeat(64)}`,
      startedAt,
    }))
    await reportRunning(this.#options.cluster, this.name, all, this.namespace)
  }

  container(name: string): RunningContainer {
    return this.#containers.get(name) ?? assert.fail(`pod ${this.name} has no container ${name}`)
  }

  #run(container: Container): RunningContainer {
    const { images, node, cluster, hooks } = this.#options
    const image = images[container.image] ?? assert.fail(`no image ${container.image}`)
    const { hostname, port } = new URL(cluster.url)
    const fields: Readonly<Record<string, string>> = {
      'spec.nodeName': node,
      'metadata.name': this.name,
      'metadata.namespace': this.namespace,
    }
    const id = randomBytes(32).toString('hex')
    const slice = `kubepods-burstable-pod${this.uid.replaceAll('-', '_')}.slice`
    return new RunningContainer({
      id,
      folder: join(this.#folder, container.name),
      image,
      bundle: bundleOf(container, {
        image,
        hostPID: this.#pod.spec.hostPID === true,
        cgroup: `/kubepods.slice/kubepods-burstable.slice/${slice}/cri-containerd-${id}.scope`,
        service: { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port },
        field: (path) => fields[path] ?? assert.fail(`field ${path}`),
        mount: (mount): MountOptions => this.#volumes.mount(mount),
        account: this.#volumes.account,
        annotations: { 'io.kubernetes.cri.container-name': container.name, 'io.kubernetes.cri.sandbox-uid': this.uid },
        hooks: hooks === undefined ? {} : hooksIn(hooks, this.#options.slowHook),
      }),
      probes: container,
    })
  }

  /** Writes the volumes again, as kubelet does about a minute after a change. */
  async refresh(): Promise<void> {
    await this.#volumes.refresh()
  }

  /** Deletes the pod: SIGTERM, and SIGKILL after the grace period. Returns exit codes by container. */
  async stop(): Promise<Map<string, number>> {
    const { cluster } = this.#options
    const remove = async (...words: readonly string[]): Promise<void> => {
      const { code, stderr } = await cluster.kubectl(['delete', 'pod', this.name, '-n', this.namespace, ...words])
      assert.equal(code, 0, stderr)
    }
    await remove('--wait=false')
    const { terminationGracePeriodSeconds: grace = 30 } = this.#pod.spec
    const codes = new Map<string, number>()
    for (const [name, container] of this.#containers) codes.set(name, await container.stop(grace * 1000))
    await remove('--grace-period=0', '--force')
    return codes
  }

  /** Ends the containers that still run; for the end of a test. */
  async kill(): Promise<void> {
    for (const container of this.#containers.values()) await container.stop(0)
  }
}

/** Hooks in hooks.d, by stage: the files of `oci-hooks(5)` that count for every container. */
function hooksIn(folder: string, change: (text: string) => string = (text) => text): object {
  const stages: Record<string, object[]> = {}
  for (const name of readdirSync(folder).filter((each) => each.endsWith('.json'))) {
    const { hook, when, stages: of } = JSON.parse(change(readFileSync(join(folder, name), 'utf8')))
    assert.deepEqual(when, { always: true }, name)
    for (const stage of of) (stages[stage] ??= []).push(hook)
  }
  return stages
}
