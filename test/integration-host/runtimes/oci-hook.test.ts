/**
 * Real runc and crun run the hook of deploy/oci-hook: the agent has the container, cgroup and pod before the container's program begins, and
 * a container starts whatever the agent does.
 */
import assert from 'node:assert/strict'
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { fileURLToPath } from 'node:url'
import { cgroupsAt } from '../../../collector/identity/cgroup-tree.ts'
import type { Announced } from '../../../collector/identity/announced.ts'
import { Rig } from '../../unit/collector/api/support/rig.ts'
import { fakeSocket } from '../../unit/collector/runtimes/support/sockets.ts'
import { Folder } from '../../unit/exporters/support/folder.ts'

const BUSYBOX = '/bin/busybox'
const UID = '1c9a7f0e-5f6d-4a6e-9a55-0d1c4f0b8a11'
const TOP = '/ktrail-test-hook'
const KTRAIL = fileURLToPath(new URL('../../../ktrail', import.meta.url))
const HOOK = JSON.parse(readFileSync(new URL('../../../deploy/oci-hook/ktrail.json', import.meta.url), 'utf8')).hook
/** Parts of the command that tests replace, because a machine may have no /usr/bin/ktrail, or be too slow for its limits. */
const GATE = '/run/ktrail/ktrail.sock'
const COMMAND = 'timeout --kill-after=1 4 /usr/bin/ktrail oci-hook'

function cannotRun(): string | false {
  if (process.getuid?.() !== 0) return 'needs root'
  const lacks = ['runc', 'crun'].find((program) => spawnSync(program, ['--version']).status !== 0)
  if (lacks !== undefined) return `${lacks} is not installed: deploy/setup/packages.sh test`
  return existsSync(BUSYBOX) ? false : `${BUSYBOX} is not installed`
}
const skip = cannotRun()
/** In each hierarchy: hosts may have several of v1. */
const cgroupFolders = (name: string): string[] =>
  execFileSync('find', ['/sys/fs/cgroup', '-type', 'd', '-name', name], { encoding: 'utf8' })
    .split('\n')
    .filter(Boolean)
const INODE = (1n << 56n) - 1n

/** A container whose program makes a file; removed with its cgroup. */
class Container implements Disposable {
  readonly folder: Folder = new Folder()
  readonly id: string
  readonly cgroup: string
  readonly hookLog: string = this.folder.at('hook.log')
  readonly #annotations: Readonly<Record<string, string>>

  constructor(first: string, annotations: Readonly<Record<string, string>> = {}) {
    this.id = first.padEnd(64, '0123456789abcdef')
    this.cgroup = `${TOP}/pod${UID}/${this.id}`
    this.#annotations = annotations
  }

  /** Whether its program has run. */
  get hasRun(): boolean {
    return existsSync(this.folder.at('rootfs/made'))
  }

  /** Runs it to its end; rejects when the runtime does not start it. */
  /** `gate`: without this file the hook does nothing. */
  async run(runtime: string, server: string, command: string, gate = '/'): Promise<void> {
    const rootfs = this.folder.at('rootfs')
    for (const name of ['bin', 'proc', 'dev', 'sys']) mkdirSync(join(rootfs, name), { recursive: true })
    copyFileSync(BUSYBOX, join(rootfs, BUSYBOX))
    execFileSync('runc', ['spec'], { cwd: this.folder.path })
    const config = JSON.parse(this.folder.read('config.json'))
    config.process.terminal = false
    config.process.args = [BUSYBOX, 'touch', '/made']
    config.root.readonly = false
    config.linux.cgroupsPath = this.cgroup
    config.annotations = this.#annotations
    const [shell, flag, text] = HOOK.args
    assert.ok(text.includes(COMMAND), text)
    assert.ok(text.includes(GATE), text)
    const ours = text
      .replace(GATE, gate)
      .replace(COMMAND, command.replace('HOOK', `${KTRAIL} oci-hook --server ${server} --log ${this.hookLog}`))
    config.hooks = { createRuntime: [{ ...HOOK, args: [shell, flag, ours], timeout: 60 }] }
    writeFileSync(this.folder.at('config.json'), JSON.stringify(config))
    await promisify(execFile)(runtime, ['run', this.id], { cwd: this.folder.path, timeout: 60_000 })
  }

  [Symbol.dispose](): void {
    this.folder[Symbol.dispose]()
    for (const folder of cgroupFolders(TOP.slice(1))) spawnSync('find', [folder, '-depth', '-type', 'd', '-delete'])
  }
}

for (const [i, runtime] of ['runc', 'crun'].entries()) {
  test(`oci-hook: ${runtime} announces a container before its program begins`, { skip, timeout: 90_000 }, async (t) => {
    if (runtime === 'crun' && !existsSync('/sys/fs/cgroup/cgroup.controllers')) {
      return t.skip('crun does not run on hosts with cgroups of v1 and v2')
    }
    await using rig = await Rig.start()
    using container = new Container(`${i}a`, {
      'io.kubernetes.cri.container-name': 'main',
      'io.kubernetes.cri.sandbox-uid': UID,
    })
    // If the root of pid 1 is not accessible, the test's own root is the same.
    const procfs = container.folder.at('procfs')
    mkdirSync(join(procfs, '1'), { recursive: true })
    for (const name of ['cgroup', 'mounts']) writeFileSync(join(procfs, '1', name), readFileSync(`/proc/1/${name}`))
    symlinkSync('/', join(procfs, '1/root'))
    const came: Array<{ announced: Announced; hasRun: boolean; ids: bigint[]; inodes: bigint[] }> = []
    rig.announced.listen(async (announced) => {
      const ids = cgroupsAt(procfs, announced.cgroup).map(({ id }) => id)
      const inodes = cgroupFolders(container.id).map((folder) => statSync(folder, { bigint: true }).ino)
      // The runtime waits for the answer, however long it takes.
      await new Promise((resolve) => setImmediate(resolve))
      came.push({ announced, hasRun: container.hasRun, ids, inodes })
    })
    const startMs = performance.now()
    await container.run(runtime, `unix://${rig.path}`, 'timeout 60 HOOK')
    t.diagnostic(`${runtime} with the hook took ${Math.round(performance.now() - startMs)} ms`)
    assert.equal(container.hasRun, true)
    assert.equal(existsSync(container.hookLog), false)
    assert.equal(came.length, 1)
    const [{ announced, hasRun, ids, inodes } = assert.fail()] = came
    assert.equal(hasRun, false)
    assert.ok(ids.length > 0)
    for (const id of ids) assert.ok(inodes.includes(id & INODE), `${id} is none of ${inodes.join()}`)
    assert.deepEqual(announced, {
      id: container.id,
      cgroup: container.cgroup,
      podUid: UID,
      container: { id: `containerd://${container.id}`, name: 'main', image: '', imageId: '', privileged: false },
    })
  })
}

test(
  'oci-hook: a container starts without an agent, with one that hangs, and without ktrail',
  { skip, timeout: 90_000 },
  async (t) => {
    using away = new Container('ca')
    await away.run('runc', `unix://${away.folder.at('none')}`, 'timeout 60 HOOK')
    assert.equal(away.hasRun, true)
    assert.match(readFileSync(away.hookLog, 'utf8'), new RegExp(`container ${away.id} starts without .*ENOENT`))
    using gone = new Container('fa')
    const none = gone.folder.at('none')
    await gone.run('runc', `unix://${none}`, 'timeout 60 HOOK', none)
    assert.deepEqual([gone.hasRun, existsSync(gone.hookLog)], [true, false])
    using hangs = new Container('da')
    await hangs.run('runc', `unix://${await fakeSocket(t, () => {})}`, 'timeout 60 HOOK')
    assert.equal(hangs.hasRun, true)
    assert.match(readFileSync(hangs.hookLog, 'utf8'), /not finished within 2 s/)
    using removed = new Container('ea')
    await removed.run('runc', 'unix:///none', COMMAND.replace('/usr/bin/ktrail', '/none/ktrail'))
    assert.equal(removed.hasRun, true)
  },
)
