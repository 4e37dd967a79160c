/** A guest whose folders may be changed, and the shells of an attack: on the host and in a container. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { chownSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { BUSYBOX, containerRoot } from '../e2e/support/runc.ts'
import { freshFolder } from '../e2e/support/agent.ts'
import { makeProgram } from '../support/programs.ts'
import { SERVER } from './attacks.ts'
import type { Attack } from './attacks.ts'
import { FOLDERS, MAKES } from './ways.ts'
import type { User, Ways } from './ways.ts'

const PROGRAM = '/usr/local/bin/attack'
const WAY = '/run/way'
/** The user of ways, who has /home/user. */
const USER = 1000
/** Ways that a container does not have, by their mark. */
const NONE = '/tmp/none'
/** The host's root in the container. */
export const HOST = '/host'

/**
 * The guest's root is the file system of this machine, so attacks get folders of the guest's own: /etc is a copy, /root a tmpfs with the folders
 * of the real one (Node may be there), the others are empty.
 */
const OWN_FOLDERS = `set -e
mount --make-rprivate /
own() { mkdir -p "/tmp/own$1"; mount -t tmpfs -o mode=755 own "/tmp/own$1"; }
own /etc; cp -a /etc/. /tmp/own/etc; mount --move /tmp/own/etc /etc
own /root
for each in /root/* /root/.[!.]*; do
  case $each in */.ssh | */.aws | */.kube | */.config | */.docker | */.azure) continue ;; esac
  [ ! -d "$each" ] || { mkdir "/tmp/own$each"; mount --rbind "$each" "/tmp/own$each"; }
done
mount --move /tmp/own/root /root
for each in /boot /home /srv /usr/local /var; do own $each; mount --move /tmp/own$each $each; done
mkdir -p /var/lib /var/log /var/spool /var/tmp /var/www /usr/local/bin /usr/local/lib`

const bash = (script: string): string =>
  execFileSync('bash', ['-c', script], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })

/** Gives later tests the folders of the machine again: unmounts all that was mounted since, the last first. */
export function mountsSince(): Disposable {
  const count = (): string[] => readFileSync('/proc/mounts', 'utf8').trim().split('\n')
  const before = count().length
  return {
    [Symbol.dispose](): void {
      for (const mount of count().slice(before).toReversed()) spawnSync('umount', ['-l', mount.split(' ')[1] ?? ''])
    },
  }
}

/** The server of the guest's root has a descriptor for each file in the guest's memory. The agent's search for links would use up all that it has. */
export function forgetsFiles(): Disposable {
  const loop = spawn('sh', ['-c', 'while sleep 3; do echo 2 >/proc/sys/vm/drop_caches; done'], { stdio: 'ignore' })
  return { [Symbol.dispose]: () => void loop.kill() }
}

/** Before an agent starts. Returns the programs of `ordinary` and `programs` that this machine does not have. */
export function prepare(attacks: readonly Attack[], programs: readonly string[]): ReadonlySet<string> {
  bash(OWN_FOLDERS)
  makeProgram('library/attack', PROGRAM)
  makeProgram('library/way', WAY)
  bash(`mkdir -p /home/user; chown ${USER} /home/user; echo x >/home/user/is-setuid; chmod 4755 /home/user/is-setuid`)
  for (const { file, absent, linked, prepare: own } of attacks) {
    for (const made of [absent === true ? [] : [file], typeof linked === 'string' ? [linked] : []].flat())
      bash(`mkdir -p ${dirname(made)}; [ -e ${made} ] || echo x >${made}`)
    if (own !== undefined) bash(own)
  }
  const missing = new Set<string>()
  const all = [...programs, ...attacks.flatMap(({ as = [], ordinary }) => [as, ordinary.as ?? []].flat())]
  for (const program of new Set(all)) {
    if (program.startsWith('/usr/local/')) bash(`mkdir -p ${dirname(program)}; cp /bin/bash ${program}`)
    else if (existsSync(program)) bash(`mount --bind /bin/bash ${program}`)
    else missing.add(program)
  }
  return missing
}

/** In the folder of the guest's own that the file is below, and outside of watched ones. */
export function linkOf({ policy, file, linked }: Attack): { readonly from: string; readonly to: string } {
  const from = typeof linked === 'string' ? linked : file
  const [top] = /^\/(?:usr\/)?[^/]+/.exec(from) ?? ['']
  return { from, to: `${top}/link-of-${policy}` }
}

const shell = (file: string, root: string): Record<string, string> => ({
  PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
  F: file,
  R: root,
  A: root === '' ? PROGRAM : `/attack`,
  SERVER,
})

/** Runs commands in busybox's shell, or in bash under the path of another program. Throws with their message if they fail. */
export function runs(commands: string, file: string, as?: string): void {
  const words = as === undefined ? ['sh', '-ec', commands] : ['-ec', commands]
  const { status, stderr } = spawnSync(as ?? BUSYBOX, words, { env: shell(file, ''), encoding: 'utf8' })
  if (status !== 0)
    throw new Error(`${as ?? BUSYBOX}: "${commands}" with the file ${file} ended with ${status}: ${stderr}`)
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`

/** Runs all commands in one container of runc, which has all capabilities and the host's root at HOST; each in a shell of its own. */
export function runsInside(all: ReadonlyArray<{ readonly commands: string; readonly file: string }>): void {
  const at = freshFolder('container')
  const root = containerRoot(at)
  makeProgram('library/attack', join(root, 'attack'))
  makeProgram('library/way', join(root, 'way'))
  const lines = all.map(({ commands, file }) => {
    const variables = Object.entries(shell(file, HOST)).map(([name, value]) => `${name}=${quoted(value)}`)
    return `env ${variables.join(' ')} ${BUSYBOX} sh -ec ${quoted(commands)} || { echo failed: ${quoted(commands)} ${quoted(file)}; code=1; }`
  })
  writeFileSync(join(root, 'script'), ['code=0', ...lines, 'exit $code', ''].join('\n'))
  execFileSync('runc', ['spec'], { cwd: at })
  const file = join(at, 'config.json')
  const config = JSON.parse(readFileSync(file, 'utf8'))
  config.process.terminal = false
  config.process.args = [BUSYBOX, 'sh', '/script']
  config.root.readonly = false
  config.linux.cgroupsPath = '/library/attacks'
  config.mounts.push({ destination: HOST, type: 'bind', source: '/', options: ['rbind', 'rw'] })
  const every = CAPABILITIES.map((name) => `CAP_${name}`)
  config.process.capabilities = { bounding: every, effective: every, permitted: every }
  config.process.noNewPrivileges = false
  // Else the control group refuses block devices.
  config.linux.resources = { devices: [{ allow: true, access: 'rwm' }] }
  writeFileSync(file, JSON.stringify(config))
  const { status, stdout, stderr } = spawnSync('runc', ['run', 'attacks'], { cwd: at, encoding: 'utf8' })
  if (status !== 0) throw new Error(`the container ended with ${status}: ${stdout}${stderr}`)
}

const CAPABILITIES =
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL MKNOD NET_ADMIN SETFCAP SETGID SETUID SYS_ADMIN SYS_CHROOT SYS_MODULE SYS_PTRACE SYS_RAWIO SYS_RESOURCE'.split(
    ' ',
  )

export interface Try {
  readonly row: Ways
  readonly way: string
  readonly user: User
  /** Stands among the arguments of the process. */
  readonly mark: string
}

/** Gives the user the file with its folders in the home. */
function owned(file: string): void {
  if (!file.startsWith('/home/user/')) return
  if (existsSync(file)) chownSync(file, USER, USER)
  owned(dirname(file))
}

/** The arguments of way.c for one try, whose files are made ready. */
function ready({ row, way, user, mark }: Try): string[] {
  const file = row.file.replace('%', `${way}-${user}`)
  const spare = join(row.beside, `spare-${row.policy}-${way}-${user}`)
  if (!file.startsWith('/proc/')) {
    const parent = dirname(file)
    mkdirSync(FOLDERS.has(way) ? dirname(parent) : parent, { recursive: true })
    if (FOLDERS.has(way)) rmSync(parent, { recursive: true, force: true })
    else if (MAKES.has(way)) rmSync(file, { force: true })
    else if (file !== row.beside) writeFileSync(file, 'x\n')
    if (user === 'user') owned(file)
  }
  const [from, to] = user === 'chroot' ? [row.beside, ''] : ['', user === 'container' ? HOST : '']
  const seen = (path: string): string => to + path.slice(from.length)
  return [way, seen(file), seen(spare), String(user === 'user' ? USER : 0), user === 'chroot' ? row.beside : '/', mark]
}

/** Tries ways on the host, or in one container. Returns the marks of those that this kernel, file system or user does not have. */
export function tries(all: readonly Try[]): ReadonlySet<string> {
  const inside = all.filter(({ user }) => user === 'container')
  rmSync(NONE, { force: true })
  const none = all.filter(({ user }) => user !== 'container').filter((each) => runsWay(WAY, ready(each)) === 2)
  const commands = (each: Try): string =>
    `/way ${ready(each).join(' ')} || { [ $? = 2 ] && echo ${each.mark} >>${HOST}${NONE}; }`
  if (inside.length > 0) runsInside(inside.map((each) => ({ commands: commands(each), file: '' })))
  const absent = existsSync(NONE) ? readFileSync(NONE, 'utf8').trim().split('\n') : []
  return new Set([...none.map(({ mark }) => mark), ...absent])
}

/** A way that an excepted program starts. */
export function triesAs(as: string, each: Try): void {
  runsWay(as, ['-ec', `${WAY} ${ready(each).join(' ')}; :`])
}

function runsWay(program: string, words: readonly string[]): number {
  const { status, stderr, error } = spawnSync(program, words, { encoding: 'utf8' })
  if (status === 0 || status === 2) return status
  throw new Error(`${program} ${words.join(' ')} ended with ${status}: ${stderr}`, { cause: error })
}
