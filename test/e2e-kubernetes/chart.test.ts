/**
 * The pod of the Helm chart, as a kubelet would run it: a container (runc) with the pod's arguments, variables, volumes and security context, as the
 * golden file of the chart has them. Its image is this machine's file system under a layer of its own; folders of the node are in a fresh folder.
 * Only by `make kubernetes`.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'node:test'
import { parse, parseAllDocuments } from 'yaml'
import { CapabilitiesType } from '../../collector/api/proto/tetragon/capabilities_pb.js'
import { cannotRun, freshFolder } from '../e2e/support/agent.ts'
import { LineFile } from '../e2e/support/line-file.ts'
import { pathOf } from '../e2e/support/record.ts'
import type { Line } from '../e2e/support/record.ts'
import { until } from '../e2e/support/wait.ts'

const skip = cannotRun()
const KTRAIL = fileURLToPath(new URL('../../ktrail', import.meta.url))
const CHART = new URL('../golden/helm/policies.yaml', import.meta.url)
const RIGHTS = new URL('../../docs/install/kubernetes.md', import.meta.url)
const PORT = 2112
/** The agent reads its own files through an overlay here. */
const START_MS = 300_000

interface Source {
  readonly configMap?: { readonly name: string; readonly items?: ReadonlyArray<{ key: string; path: string }> }
}
interface Volume {
  readonly name: string
  readonly hostPath?: { readonly path: string; readonly type: string }
  readonly emptyDir?: { readonly medium: string }
  readonly projected?: { readonly sources: readonly Source[] }
}
interface Mount {
  readonly name: string
  readonly mountPath: string
  readonly readOnly?: boolean
}
interface Security {
  readonly privileged?: boolean
  readonly allowPrivilegeEscalation?: boolean
  readonly readOnlyRootFilesystem: boolean
  readonly capabilities?: { readonly drop: readonly string[]; readonly add: readonly string[] }
}
interface Container {
  readonly args: readonly string[]
  readonly securityContext: Security
  readonly volumeMounts: readonly Mount[]
}
interface Pod {
  readonly hostPID: boolean
  readonly containers: readonly [Container]
  readonly volumes: readonly Volume[]
}
interface Entity {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly data?: Record<string, string>
  readonly spec?: { readonly template?: { readonly spec: Pod } }
}

const ENTITIES = parseAllDocuments(readFileSync(CHART, 'utf8')).map((document) => document.toJS() as Entity)
const podOf = (): Pod => {
  const pod = ENTITIES.find(({ kind }) => kind === 'DaemonSet')?.spec?.template?.spec
  assert.ok(pod)
  return pod
}

/** Writes a projected volume as kubelet does: a folder of the moment, to which `..data` points. `change`: of a file's text. */
function project(folder: string, sources: readonly Source[], change: (text: string) => string): void {
  const now = `..${process.hrtime.bigint()}`
  mkdirSync(join(folder, now), { recursive: true })
  for (const { configMap } of sources) {
    const data = ENTITIES.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === configMap?.name)?.data
    const items = configMap?.items ?? Object.keys(data ?? {}).map((key) => ({ key, path: key }))
    for (const { key, path } of items) {
      mkdirSync(dirname(join(folder, now, path)), { recursive: true })
      writeFileSync(join(folder, now, path), change(data?.[key] ?? ''), { mode: 0o400 })
      const [top = ''] = path.split('/')
      if (!readdirSync(folder).includes(top)) symlinkSync(join('..data', top), join(folder, top))
    }
  }
  symlinkSync(now, join(folder, '..new'))
  renameSync(join(folder, '..new'), join(folder, '..data'))
}

function capabilitiesOf({ privileged, capabilities }: Security): string[] {
  if (privileged === true) return Object.keys(CapabilitiesType).filter((name) => name.startsWith('CAP_'))
  assert.deepEqual(capabilities?.drop, ['ALL'])
  return capabilities.add.map((name) => `CAP_${name}`)
}

/** The chart's values for the fewest capabilities, as the page for users has them. */
function leastRights(): Partial<Security> {
  const [, values = ''] = /```yaml values\n(securityContext:[^`]*)```/.exec(readFileSync(RIGHTS, 'utf8')) ?? []
  return parse(values).securityContext
}

/** A runc bundle of the pod. `rights`: values that replace those of the chart. Returns its folder and that of its config volume. */
function bundle(folder: string, rights: Partial<Security>): { at: string; config: string } {
  const { hostPID, containers, volumes } = podOf()
  const [{ args, securityContext: own, volumeMounts }] = containers
  const securityContext = { ...own, ...rights }
  const at = join(folder, 'bundle')
  const root = join(folder, 'root')
  for (const part of [at, root, `${folder}/upper`, `${folder}/work`]) mkdirSync(part, { recursive: true })
  execFileSync('mount', [
    '-t',
    'overlay',
    'overlay',
    '-o',
    `lowerdir=/,upperdir=${folder}/upper,workdir=${folder}/work`,
    root,
  ])
  execFileSync('runc', ['spec'], { cwd: at })
  const spec = JSON.parse(readFileSync(join(at, 'config.json'), 'utf8'))
  spec.root = { path: root, readonly: securityContext.readOnlyRootFilesystem }
  spec.process.terminal = false
  spec.process.args = [KTRAIL, ...args]
  spec.process.env = ['PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'NODE_NAME=node-1']
  const all = capabilitiesOf(securityContext)
  spec.process.capabilities = { bounding: all, effective: all, permitted: all }
  spec.process.noNewPrivileges = securityContext.allowPrivilegeEscalation === false
  if (securityContext.privileged === true) {
    delete spec.linux.maskedPaths
    delete spec.linux.readonlyPaths
  }
  assert.equal(hostPID, true)
  // The network is the host's here: a kubelet's probes come over that of the pod.
  spec.linux.namespaces = [{ type: 'mount' }, { type: 'ipc' }, { type: 'uts' }]
  const config = join(folder, 'config')
  for (const { name, mountPath: destination, readOnly = false } of volumeMounts) {
    const volume = volumes.find((each) => each.name === name)
    assert.ok(volume, `volume ${name}`)
    const mode = readOnly ? 'ro' : 'rw'
    if (volume.emptyDir !== undefined) {
      spec.mounts.push({ destination, type: 'tmpfs', source: 'tmpfs', options: ['nosuid', mode] })
      continue
    }
    let source = config
    if (volume.projected !== undefined) project(config, volume.projected.sources, (text) => text)
    else if (volume.hostPath?.type === 'DirectoryOrCreate') source = join(folder, 'node', volume.hostPath.path)
    else source = volume.hostPath?.path ?? ''
    mkdirSync(source, { recursive: true })
    spec.mounts.push({ destination, type: 'bind', source, options: ['rbind', mode] })
  }
  writeFileSync(join(at, 'config.json'), JSON.stringify(spec))
  return { at, config }
}

const answers = async (page: string): Promise<string | false> => {
  const answer = await fetch(`http://127.0.0.1:${PORT}${page}`).catch(() => undefined)
  return answer?.ok === true && answer.text()
}

const CASES: ReadonlyArray<readonly [rights: string, change: () => Partial<Security>]> = [
  ['privileged', () => ({})],
  ['with the least capabilities', leastRights],
]

for (const [rights, change] of CASES) {
  test(`chart: the pod runs ${rights}, follows a swapped config and ends in time`, { skip }, async (t) => {
    const folder = freshFolder('pod')
    const name = basename(folder)
    const { at, config } = bundle(folder, change())
    const output = new LineFile(join(folder, 'stdout'))
    const log = new LineFile(join(folder, 'stderr'))
    const began = performance.now()
    const child = spawn('sh', ['-c', `exec runc run ${name} >${output.path} 2>${log.path}`], { cwd: at })
    let code: number | null | undefined
    child.on('exit', (ended) => (code = ended ?? -1))
    const more = (): string => `\n${log.read().slice(-15).join('\n')}`
    const alive = <T>(what: string, look: () => Promise<T | false> | T | false): Promise<T> =>
      until<T>(
        what,
        async () => {
          const found = await look()
          if (found === false && code !== undefined) throw new Error(`the container ended with ${code}${more()}`)
          return found
        },
        { more, ms: START_MS },
      )
    try {
      await alive('/livez', () => answers('/livez'))
      assert.match(await alive('/readyz', () => answers('/readyz')), /^ready: 2 policies/)
      // Above 2, perf events need CAP_SYS_ADMIN.
      t.diagnostic(`perf_event_paranoid ${readFileSync('/proc/sys/kernel/perf_event_paranoid', 'utf8').trim()}`)
      t.diagnostic(`ready in ${Math.round(performance.now() - began)} ms`)
      for (const text of log.read().filter((each) => /"level":[4-9]/.test(each))) t.diagnostic(text)

      const reads = (lines: readonly string[]): Line[] =>
        lines
          .flatMap((text): Line[] => (text.startsWith('{') ? [JSON.parse(text)] : []))
          .filter(({ process_kprobe: hit }) => hit?.policy_name === 'file-monitoring')
          .filter((hit) => pathOf(hit) === '/etc/hostname')
      execFileSync('cat', ['/etc/hostname'])
      const [hit] = await alive(
        'an event on standard output',
        () => reads(output.read()).length > 0 && reads(output.read()),
      )
      assert.equal(hit?.node_name, 'node-1')

      // kubectl edit configmap: another exporter, without a restart.
      const sources = podOf().volumes.find(({ projected }) => projected !== undefined)?.projected?.sources ?? []
      const added = 'exporters:\n  more: { type: file, path: /var/lib/ktrail/more.jsonl }\n'
      project(config, sources, (text) => text.replace('exporters:\n', added))
      await alive('the reload', async () =>
        /ktrail_config_reloads_total\{result="applied"\} 1/.test((await answers('/metrics')) || ''),
      )
      execFileSync('cat', ['/etc/hostname'])
      const archive = new LineFile(join(folder, 'node/var/lib/ktrail/more.jsonl'))
      await alive('a record of the new exporter, on the node', () => reads(archive.read()).length > 0)

      const stopped = performance.now()
      execFileSync('runc', ['kill', name, 'TERM'])
      await until('the container to end', () => code !== undefined, { more })
      assert.equal(code, 0, more())
      t.diagnostic(`ended in ${Math.round(performance.now() - stopped)} ms`)
    } finally {
      if (code === undefined) execFileSync('runc', ['delete', '--force', name])
      execFileSync('umount', ['--lazy', join(folder, 'root')])
    }
  })
}
