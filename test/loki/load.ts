/** The real agent on a kernel that plays what each query of dashboards, pages and alerts looks for, with an exporter to a Loki. */
import { mkdirSync, writeFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { startAgent } from '../../collector/agent.ts'
import { createLog } from '../../collector/host/log.ts'
import { valueIndex } from '../../collector/plan/layout/hook.ts'
import { PROCESS_FLAGS } from '../../collector/wire/flags.ts'
import { configOrThrow, parseConfigFile } from '../../config/agent/check.ts'
import type { RunningAgent } from '../../collector/running.ts'
import { bootTime } from '../../native/index.ts'
import { scripted, writeKubeconfig } from '../support/kubernetes/scripted.ts'
import { ReplayKernel } from '../support/kernel/replay.ts'
import { SYMBOLS } from '../support/kernel/functions.ts'
import { RingRecords } from '../support/recording/ring-records.ts'
import type { HookValue, Stamp } from '../support/recording/ring-records.ts'
import { kernel as factsOf } from '../unit/collector/support/facts.ts'
import { Folder } from '../unit/exporters/support/folder.ts'

export const NODE = 'web-1'
/** Numbers of different files and programs, beyond the 500 series that Loki allows in a result. */
export const FILES = 60_000
export const PROGRAMS = 600
const AT_ONCE = 2000
const CONTAINER = 'c'.repeat(64)
const POD_UID = '5f7b1d0e-0000-4000-8000-000000000001'
/** Names as the kernel side writes them: the container's own first. */
const CGROUP = [CONTAINER, `pod${POD_UID}`, 'burstable', 'kubepods'].map((name) => `${name}\0`).join('')
const READ = 4n
const WRITE = 2n
const DENIED = -13n
/** Policies by the severity of their tag; one acts. */
const POLICIES: Readonly<Record<string, { readonly tag: string; readonly action?: string }>> = {
  'ssh-keys': { tag: 'severity.low' },
  critical: { tag: 'severity.critical' },
  high: { tag: 'severity.high' },
  medium: { tag: 'severity.medium' },
  guard: { tag: 'severity.medium', action: 'Sigkill' },
}

interface Started {
  readonly pid: number
  readonly startNs: bigint
}

interface Start extends Partial<Started> {
  readonly parent?: Started
  readonly euid?: number
  readonly cgroup?: string
}

const INIT: Started = { pid: 1, startNs: 1n }

/** A container of a Deployment's pod on this node. */
const POD = {
  metadata: {
    name: 'web-7d4b9c5f6d-x2x4k',
    generateName: 'web-7d4b9c5f6d-',
    namespace: 'shop',
    uid: POD_UID,
    labels: { 'pod-template-hash': '7d4b9c5f6d' },
    ownerReferences: [
      { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-7d4b9c5f6d', uid: 'u', controller: true },
    ],
  },
  spec: { nodeName: NODE, containers: [{ name: 'web', image: 'docker.io/library/busybox:1.36' }] },
  status: {
    phase: 'Running',
    containerStatuses: [
      {
        name: 'web',
        containerID: `containerd://${CONTAINER}`,
        image: 'docker.io/library/busybox:1.36',
        imageID: `docker.io/library/busybox@sha256:${'a'.repeat(64)}`,
        ready: true,
        restartCount: 0,
        state: { running: { startedAt: '2026-08-01T10:00:00Z' } },
      },
    ],
  },
}

/** The list of pods; a watch stays open without a change. */
function answerPods({ pathname, searchParams }: URL, answer: ServerResponse): void {
  answer.setHeader('content-type', 'application/json')
  if (pathname.endsWith('/pods') && searchParams.has('watch')) return answer.flushHeaders()
  const items = pathname.endsWith('/pods') ? [POD] : []
  answer.end(JSON.stringify({ apiVersion: 'v1', kind: 'List', metadata: { resourceVersion: '1' }, items }))
}

const policy = (name: string, tag: string, action = 'Post'): string => `apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: { name: ${name} }
spec:
  kprobes:
    - call: security_file_permission
      syscall: false
      return: true
      message: ${name} accessed
      tags: [${tag}]
      args: [{ index: 0, type: file }, { index: 1, type: int }]
      returnArg: { index: 0, type: int }
      selectors: [{ matchActions: [{ action: ${action} }] }]
`

/** As records have it. */
const nowNs = (): bigint => bootTime()

const stampOf = ({ pid, startNs }: Started): Stamp => ({ ns: nowNs(), tgid: pid, tid: pid, startNs })

function raise(message: string): never {
  throw new Error(message)
}

const WAIT_MS = 20

export class Load implements AsyncDisposable {
  readonly #agent: RunningAgent
  readonly #kernel: ReplayKernel
  readonly #resources: AsyncDisposableStack
  #nextPid = 1000
  #played = 0n

  private constructor(agent: RunningAgent, kernel: ReplayKernel, resources: AsyncDisposableStack) {
    this.#agent = agent
    this.#kernel = kernel
    this.#resources = resources
  }

  /** `exporters`: as in a config. */
  static async start(exporters: object): Promise<Load> {
    const resources = new AsyncDisposableStack()
    const folder = resources.use(new Folder())
    const api = resources.use(await scripted(answerPods))
    await writeKubeconfig(folder.at('kubeconfig'), api)
    for (const name of ['policies', 'proc']) mkdirSync(folder.at(name))
    for (const [name, { tag, action }] of Object.entries(POLICIES))
      writeFileSync(folder.at(`policies/${name}.yaml`), policy(name, tag, action))
    const config = {
      node_name: NODE,
      policies: [folder.at('policies')],
      procfs: folder.at('proc'),
      state_dir: folder.at('state'),
      kubernetes: { kubeconfig: folder.at('kubeconfig'), pods: true },
      server: { http: `unix://${folder.at('http.sock')}`, grpc: 'disabled' },
      log: { level: 'error' },
      exporters,
    }
    writeFileSync(folder.at('config.yaml'), JSON.stringify(config))
    const loaded = configOrThrow(await parseConfigFile(folder.at('config.yaml'), {}))
    const kernel = new ReplayKernel({ facts: factsOf(6, 12), symbols: SYMBOLS })
    const stop = new AbortController().signal
    const log = createLog(loaded.config.log)
    const agent = await startAgent({ loaded, configFile: folder.at('config.yaml'), log, stop, source: kernel.source })
    return new Load(agent, kernel, resources)
  }

  /** Each act that a query looks for; settles when the agent has read them. The process that reads files is the result. */
  async playActs(): Promise<Started> {
    const acts = this.#ring()
    const nginx = this.#start(acts, ['/usr/sbin/nginx'])
    const shell = this.#start(acts, ['/bin/sh', '-c', 'id'], { parent: nginx })
    this.#exit(acts, shell, 9)
    this.#exit(acts, this.#start(acts, ['/usr/bin/false']), 1 << 8)
    this.#start(acts, ['/tmp/tool', '-o', 'file', 'two words'], { euid: 1000 })
    const known = this.#start(acts, ['/usr/bin/cat', '/etc/shadow'], { pid: 123, startNs: 4216n })
    this.#access(acts, known, 'critical', '/etc/shadow', READ)
    this.#access(acts, known, 'high', '/etc/passwd', WRITE)
    this.#access(acts, known, 'high', '/root/.ssh/id_ed25519', READ, DENIED)
    this.#access(acts, known, 'guard', '/etc/sudoers', READ)
    for (let i = 0; i < 25; i++) this.#access(acts, known, 'medium', '/etc/hosts', READ)
    const inPod = this.#start(acts, ['/bin/busybox'], { cgroup: CGROUP })
    this.#access(acts, inPod, 'ssh-keys', '/root/.ssh/authorized_keys', READ)
    await this.#put(acts)
    return known
  }

  /** All of them, more files and programs than Loki allows series, and losses. */
  async play(): Promise<void> {
    const known = await this.playActs()
    for (let i = 0; i < PROGRAMS; i += AT_ONCE) {
      const programs = this.#ring()
      for (let j = i; j < Math.min(PROGRAMS, i + AT_ONCE); j++) {
        const program = this.#start(programs, [`/opt/program-${j}`])
        this.#access(programs, program, 'critical', '/etc/shadow', READ)
        this.#exit(programs, program, 1 << 8)
      }
      await this.#put(programs)
    }
    for (let i = 0; i < FILES; i += AT_ONCE) {
      const files = this.#ring()
      for (let j = i; j < i + AT_ONCE; j++) this.#access(files, known, 'ssh-keys', `/srv/${j % 100}/${j}`, READ)
      await this.#put(files)
    }
    this.#kernel.counters.ring_full_hook += 7
    this.#kernel.lose(7)
    const last = this.#ring()
    this.#start(last, ['/usr/bin/true'])
    await this.#put(last)
  }

  #ring(): RingRecords {
    return new RingRecords(this.#played)
  }

  async #put(ring: RingRecords): Promise<void> {
    this.#played += BigInt(ring.count)
    this.#kernel.play(ring.bytes())
    while (this.#kernel.ring.available() > 0) await pause(WAIT_MS)
  }

  #start(ring: RingRecords, argv: readonly string[], { parent = INIT, ...change }: Start = {}): Started {
    const ns = nowNs()
    const { pid = this.#nextPid++, startNs = ns, euid = 0, cgroup = '' } = change
    const [filename = ''] = argv
    const flags = PROCESS_FLAGS.execve | PROCESS_FLAGS.clone
    const body = {
      parentTgid: parent.pid,
      parentStartNs: parent.startNs,
      euid,
      flags,
      filename,
      cwd: '/',
      cgroup,
      argv,
    }
    ring.exec({ ns, tgid: pid, tid: pid, startNs }, body)
    return { pid, startNs }
  }

  #exit(ring: RingRecords, process: Started, code: number): void {
    ring.exit(stampOf(process), code)
  }

  /** A read or a write of a file, as the first hook of the policy reports it. */
  #access(ring: RingRecords, process: Started, policyName: string, path: string, mask: bigint, returned = 0n): void {
    const found = [...this.#kernel.attached].find(({ policy: { name } }) => name === policyName)
    const { hook, spec } = found?.hooks[0] ?? raise(`no policy ${policyName}`)
    const file: HookValue = { kind: 'file', path, inode: 7n, mode: 0o100644 }
    const values = spec.args.map(
      (arg) => [valueIndex(arg), arg.index === 0 ? file : ({ kind: 'int', value: mask } as const)] as const,
    )
    ring.hook(stampOf(process), hook.id, values, { kind: 'int', value: returned })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.stop()
    await this.#resources[Symbol.asyncDispose]()
  }
}
