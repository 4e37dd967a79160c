/** A container of a pod, as a CRI runtime configures it for runc. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess, ChildProcessByStdio } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import { CapabilitiesType } from '../../../collector/proto/tetragon/capabilities_pb.js'
import { LineFile } from '../../e2e/support/line-file.ts'
import { bytesOf } from './pod-spec.ts'
import type { Container, Image, Mount, MountOptions, Probed } from './pod-spec.ts'

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'

interface Around {
  readonly image: Image
  readonly hostPID: boolean
  readonly cgroup: string
  readonly service: Readonly<Record<string, string>>
  readonly field: (path: string) => string
  readonly mount: (mount: Mount) => MountOptions
  readonly account: string | undefined
  readonly annotations: Readonly<Record<string, string>>
  readonly hooks: object
}

/** Fills in the file that `runc spec` writes. */
export type Bundle = (spec: Spec, root: string) => void
interface Spec {
  root: { path: string; readonly: boolean }
  process: Record<string, unknown>
  mounts: Array<{ destination: string; type: string; source: string; options: readonly string[] }>
  linux: Record<string, unknown>
  annotations?: object
  hooks?: object
}

const EVERY = Object.keys(CapabilitiesType).filter((name) => name.startsWith('CAP_'))

export function bundleOf(container: Container, around: Around): Bundle {
  const { command, args = [], env = [], volumeMounts = [], securityContext: security = {}, resources } = container
  const { privileged = false, capabilities } = security
  return (spec, root) => {
    spec.root = { path: root, readonly: security.readOnlyRootFilesystem === true }
    const own = env.map(({ name, value, valueFrom }): string => {
      const field = valueFrom?.fieldRef?.fieldPath
      return `${name}=${field === undefined ? (value ?? assert.fail(`variable ${name}`)) : around.field(field)}`
    })
    const given = Object.entries(around.service).map(([name, value]) => `${name}=${value}`)
    Object.assign(spec.process, {
      terminal: false,
      args: [...(command ?? around.image.entrypoint), ...args],
      env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', ...given, ...own],
      noNewPrivileges: security.allowPrivilegeEscalation === false,
    })
    // The node's own; runc's example has 1024 open files.
    delete spec.process['rlimits']
    if (privileged || capabilities !== undefined) {
      if (!privileged) assert.deepEqual(capabilities?.drop, ['ALL'])
      const all = privileged ? EVERY : (capabilities?.add ?? []).map((name) => `CAP_${name}`)
      spec.process['capabilities'] = { bounding: all, effective: all, permitted: all }
    }
    if (privileged) {
      delete spec.linux['maskedPaths']
      delete spec.linux['readonlyPaths']
      for (const mount of spec.mounts.filter(({ destination }) => destination.startsWith('/sys')))
        mount.options = mount.options.map((option) => (option === 'ro' ? 'rw' : option))
    }
    const types = ['mount', 'ipc', 'uts', ...(around.hostPID ? [] : ['pid']), ...(privileged ? [] : ['cgroup'])]
    const limit = resources?.limits?.memory
    Object.assign(spec.linux, {
      cgroupsPath: around.cgroup,
      namespaces: types.map((type) => ({ type })),
      resources: {
        devices: [{ allow: privileged, access: 'rwm' }],
        ...(limit === undefined ? {} : { memory: { limit: bytesOf(limit) } }),
      },
    })
    for (const mount of volumeMounts) spec.mounts.push({ destination: mount.mountPath, ...around.mount(mount) })
    if (around.account !== undefined)
      spec.mounts.push({ destination: ACCOUNT, type: 'bind', source: around.account, options: ['rbind', 'ro'] })
    spec.annotations = around.annotations
    spec.hooks = around.hooks
  }
}

interface ContainerOptions {
  readonly id: string
  readonly folder: string
  readonly image: Image
  readonly bundle: Bundle
  readonly probes: Probed
}

export class RunningContainer {
  readonly id: string
  readonly stdout: LineFile
  readonly stderr: LineFile
  /** Settles when its program has ended. */
  readonly ended: Promise<{ readonly code: number; readonly log: () => string }>
  readonly #child: ChildProcess
  readonly #root: string
  readonly #probes: Probed
  #code: number | undefined

  constructor({ id, folder, image, bundle, probes }: ContainerOptions) {
    this.id = id
    this.#probes = probes
    this.#root = join(folder, 'root')
    for (const part of [this.#root, join(folder, 'upper'), join(folder, 'work')]) mkdirSync(part, { recursive: true })
    const layers = `lowerdir=${image.layers.join(':')},upperdir=${folder}/upper,workdir=${folder}/work`
    execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', layers, this.#root])
    execFileSync('runc', ['spec'], { cwd: folder })
    const spec: Spec = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'))
    bundle(spec, this.#root)
    writeFileSync(join(folder, 'config.json'), JSON.stringify(spec))
    this.stdout = new LineFile(join(folder, 'stdout'))
    this.stderr = new LineFile(join(folder, 'stderr'))
    const [out, err] = [openSync(this.stdout.path, 'a'), openSync(this.stderr.path, 'a')]
    this.#child = spawn('runc', ['run', id], { cwd: folder, stdio: ['ignore', out, err] })
    closeSync(out)
    closeSync(err)
    this.ended = new Promise((resolve) => {
      this.#child.on('exit', (code) => {
        this.#code = code ?? -1
        execFileSync('umount', ['--lazy', this.#root])
        resolve({ code: this.#code, log: () => this.log() })
      })
    })
  }

  /** The end of its log. */
  log(): string {
    return `\n${this.stderr.read().slice(-15).join('\n')}`
  }

  /** Undefined while it runs. */
  get code(): number | undefined {
    return this.#code
  }

  /** `kubectl exec` without input. The program outlives this child, and ends with the container. */
  exec(words: readonly string[]): ChildProcessByStdio<null, Readable, Readable> {
    // Attached, runc would give it a pipe as its input.
    return spawn('runc', ['exec', '--detach', this.id, ...words], { stdio: ['ignore', 'pipe', 'pipe'] })
  }

  /** Whether it passes the probe now. */
  async passes(kind: 'startupProbe' | 'livenessProbe' | 'readinessProbe'): Promise<boolean> {
    const { path, port } = this.#probes[kind]?.httpGet ?? assert.fail(`no ${kind}`)
    return (await this.get(path, port))?.ok === true
  }

  /** A page of the container. `port`: its name or number. */
  async get(path: string, port: string | number = 'http'): Promise<Response | undefined> {
    const named = this.#probes.ports?.find(({ name }) => name === port)?.containerPort ?? port
    return fetch(`http://127.0.0.1:${named}${path}`).catch(() => undefined)
  }

  /** SIGTERM, and SIGKILL when it has not ended in time. Returns its exit code. */
  async stop(graceMs: number): Promise<number> {
    if (this.#code !== undefined) return this.#code
    execFileSync('runc', ['kill', this.id, graceMs === 0 ? 'KILL' : 'TERM'])
    const over = new AbortController()
    const late = wait(graceMs, undefined, { signal: over.signal }).then(
      () => execFileSync('runc', ['kill', this.id, 'KILL']),
      () => undefined,
    )
    const { code } = await this.ended
    over.abort()
    await late
    return code
  }
}
