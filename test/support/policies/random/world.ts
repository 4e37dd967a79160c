/**
 * A random tree of files and the calls that a process makes on them: which system calls, and which calls of kernel functions
 * follow from them. Paths and texts are bytes as latin1.
 */
import type { Seeded } from '../../../simulation/spool/random.ts'
import { line, sys } from '../calls.ts'
import type { Word } from '../calls.ts'
import type { Call } from '../evaluator.ts'
import type { FileLookup, Identity } from '../identity.ts'
import { asBytes } from '../operators.ts'
import type { Value } from '../value.ts'
import { NAMES, NUMBERS } from './alphabet.ts'
import { someAddress, someSockets } from './sockets.ts'
import type { HeldSocket } from './sockets.ts'
import { Tasks, factsOf } from './tasks.ts'
import type { Made, TaskState } from './tasks.ts'
import { Tree } from './tree.ts'
import type { Kind } from './tree.ts'
import { deletedFile, fileValue, nothing, output } from './values.ts'
import type { Place } from './values.ts'

const AT_FDCWD = -100n
const O_RDWR = 2
const O_CREAT = 0o100
const O_DIRECTORY = process.arch === 'arm64' ? 0o40000 : 0o200000
const O_CLOEXEC = 0o2000000
const O_NONBLOCK = 0o4000
const MAY_WRITE = 2n
const MAY_READ = 4n
const MAP_SHARED = 1
const MAP_PRIVATE = 2
const MAP_ANONYMOUS = 0x20
const MAP_NORESERVE = 0x4000
const F_GETFD = 1n
const MS_PRIVATE_ALL = (1 << 18) | (1 << 14)
const MS_BIND = 1 << 12
/** Descriptors of files that are held open from the beginning. */
const HELD_FROM = 20
/** Longer paths cannot be given to a system call. */
const MAX_BYTES = 3_800
/** Longer texts are cut in records. */
const TEXT_BYTES = 4095

interface Held {
  readonly fd: number
  readonly path: Value
  /** As policies see it; files above it stay where they are. */
  readonly at: string
}

/** Where the world is. */
export interface Ground {
  /** An empty folder of a tmpfs. */
  readonly top: string
  /** The same on its file system. */
  readonly fsTop: string
  readonly umask: number
}

const number = (value: bigint | number): Value => ({ kind: 'number', value: BigInt(value) })
const text = (value: string): Word => ({ text: value })

export class World {
  /** Builds the tree. */
  readonly setup: string[] = []
  /** The calls that policies see. */
  readonly lines: string[] = []
  /** Paths as the process sees them. */
  readonly files: string[] = []
  readonly folders: string[] = []
  /** Paths of files that were deleted, with their mark, and of others that are only held open. */
  readonly others: string[] = []
  /** Texts that system calls get, beside paths. */
  readonly texts: string[] = []
  /** Files and folders by their paths for the host, as they are when policies are loaded; some are not there. */
  readonly hostPaths: { readonly files: readonly string[]; readonly folders: readonly string[] }
  readonly sockets: readonly HeldSocket[]
  /** What the host's paths lead to when policies are loaded. */
  readonly lookup: FileLookup
  readonly #follows: Array<{ readonly state: TaskState; readonly calls: (result: bigint) => readonly Call[] }> = []
  /** Lines whose results are pids, and lines whose results are numbers of signals, with their processes. */
  readonly #forks: Array<{ readonly line: number; readonly task: number }> = []
  readonly #takes: Array<{ readonly line: number; readonly task: number }> = []
  readonly #random: Seeded
  readonly #ground: Ground
  readonly #kind: 'machine' | 'folder' | 'mount'
  readonly #names: readonly string[]
  readonly #kinds = new Map<string, Kind>()
  readonly #tree: Tree
  readonly #tasks: Tasks
  readonly #held: Held[] = []
  #alias: { readonly from: string; readonly to: string } | undefined
  #top: string

  constructor(random: Seeded, ground: Ground) {
    this.#random = random
    this.#ground = ground
    this.#tasks = new Tasks(random)
    this.#kind = random.pick(['machine', 'folder', 'mount'] as const) ?? 'machine'
    this.#top = this.#kind === 'machine' ? asBytes(ground.top) : ''
    this.#tree = new Tree(this.#top, asBytes(ground.top), this.#kind === 'mount')
    this.#names = Array.from({ length: 3 + random.int(8) }, () => random.pick(NAMES) ?? 'a')
    this.#enter()
    this.folders.push(this.#top === '' ? '/' : this.#top)
    const files = 6 + random.int(16)
    for (let i = 0; i < files; i++) this.#make(this.#newPath(), 'file')
    while (this.files.length === 0) this.#make(`${this.#top}/f${random.int(100)}`, 'file')
    for (let i = random.chance(0.3) ? 1 + random.int(3) : 0; i > 0; i--) this.#linkFile()
    if (random.chance(0.3)) this.#bind()
    for (let i = random.int(3); i > 0; i--) this.#holdDeleted()
    if (random.chance(0.1)) this.#holdLong()
    this.sockets = random.chance(0.35) ? someSockets(random, this.setup) : []
    const isInner = random.chance(0.1)
    if (isInner) this.setup.push(this.#tasks.unshare('Pid'))
    this.#tasks.loaded()
    this.lookup = this.#tree.lookup()
    this.hostPaths = {
      files: this.files.map((each) => this.#onHost(each)),
      folders: this.folders.map((each) => this.#onHost(each)),
    }
    if (isInner) this.#fork(() => this.#live(false))
    else this.#live(true)
    this.#takeSignals()
    const args = [output, number(MAY_WRITE)]
    this.#follows.push({
      state: this.#tasks.now,
      calls: () => [{ call: 'security_file_permission', args, returned: 0n }],
    })
  }

  /** Everything that happens while policies see it. */
  #live(forks: boolean): void {
    const random = this.#random
    const accesses = 16 + random.int(24)
    const some = (count: number): void => {
      for (let i = 0; i < count; i++) this.#step()
    }
    for (let i = 0; i < accesses; i++) {
      if (forks && random.chance(0.05)) this.#fork(() => some(1 + random.int(6)))
      else this.#step()
    }
    for (const held of this.#held) this.#useHeld(held)
  }

  #step(): void {
    const random = this.#random
    const what = random.int(100)
    if (what < 6) return this.#changeTask()
    if (what < 12) return this.#rename()
    if (what < 34 && this.sockets.length > 0) return this.#useSocket()
    return this.#access()
  }

  /** Every call that policies see, in order. `results`: of `lines`. */
  calls(results: readonly bigint[], made: Made): Call[] {
    const facts = new Map<TaskState, ReturnType<typeof factsOf>>()
    return this.#follows.flatMap(({ state, calls }, i) => {
      const caller = facts.get(state) ?? factsOf(state, made)
      facts.set(state, caller)
      return calls(results[i] ?? 0n).map((call) => ({ ...call, caller }))
    })
  }

  /** Pids of the processes, by number. */
  pids(first: number, results: readonly bigint[]): number[] {
    const pids = [first]
    for (const { line: at, task } of this.#forks) pids[task] = Number(results[at] ?? -1)
    return pids
  }

  /** How many signals the processes have got, by pid. */
  signals(results: readonly bigint[], pids: readonly number[]): ReadonlyMap<number, number> {
    return new Map(this.#takes.map(({ line: at, task }) => [pids[task] ?? -1, Number(results[at] ?? -1)]))
  }

  /** The process's root: the machine's, a folder, or a mount. */
  #enter(): void {
    this.setup.push(this.#tasks.unshare('Mnt'), sys('mount', text('none'), text('/'), 0, MS_PRIVATE_ALL, 0))
    const top = text(asBytes(this.#ground.top))
    if (this.#kind === 'mount') this.setup.push(sys('mount', text('tmpfs'), top, text('tmpfs'), 0, 0))
    if (this.#kind !== 'machine') this.setup.push(sys('chroot', top))
  }

  #newPath(): string {
    const random = this.#random
    const from = random.chance(0.7) ? (random.pick(this.folders) ?? this.#top) : this.#top
    let at = from === '/' ? '' : from
    const depth = random.chance(0.04) ? 70 : 1 + Math.floor(random.next() ** 2 * 20)
    for (let i = 0; i < depth; i++) {
      const name = depth === 70 ? 'd' : (random.pick(this.#names) ?? 'a')
      if (at.length + name.length + 1 > MAX_BYTES) break
      at += `/${name}`
    }
    return at === this.#top ? `${at}/f${random.int(100)}` : at
  }

  /** Makes a file or folder and the folders above; false if something else has one of the names. */
  #make(wanted: string, kind: Kind): boolean {
    if (!this.#makeAbove(wanted)) return false
    this.#add(wanted, kind)
    return true
  }

  #makeAbove(wanted: string): boolean {
    const names = wanted.slice(this.#top.length + 1).split('/')
    const above = names.slice(0, -1).map((_, i) => `${this.#top}/${names.slice(0, i + 1).join('/')}`)
    if (this.#kinds.has(wanted) || above.some((folder) => this.#kinds.get(folder) === 'file')) return false
    for (const folder of above.filter((each) => !this.#kinds.has(each))) this.#add(folder, 'folder')
    return true
  }

  #add(at: string, kind: Kind): void {
    this.#kinds.set(at, kind)
    this.#tree.add(this.#canonical(at), kind)
    if (kind === 'folder') {
      this.setup.push(sys('mkdirat', AT_FDCWD, text(at), 0o755))
      this.folders.push(at)
    } else {
      this.setup.push(sys('openat', AT_FDCWD, text(at), O_RDWR | O_CREAT, 0o644), sys('close', '@'))
      this.files.push(at)
    }
  }

  /** A file gets a second name. */
  #linkFile(): void {
    const from = this.#random.pick(this.files)
    const to = this.#newPath()
    if (from === undefined || !this.#makeAbove(to)) return
    this.setup.push(sys('linkat', AT_FDCWD, text(from), AT_FDCWD, text(to), 0))
    this.#kinds.set(to, 'file')
    this.#tree.link(from, to)
    this.files.push(to)
  }

  /** A file, or a folder with what is in it, gets a second path. */
  #bind(): void {
    const random = this.#random
    const isFile = random.chance(0.5)
    const from = random.pick(isFile ? this.files : this.folders.slice(1))
    const to = this.#newPath()
    // A folder within itself would show the mount point once more.
    if (from === undefined || `${to}/`.startsWith(`${from}/`) || `${from}/`.startsWith(`${to}/`)) return
    const inside = isFile ? [] : this.files.filter((file) => file.startsWith(`${from}/`))
    if (!this.#make(to, isFile ? 'file' : 'folder')) return
    this.setup.push(sys('mount', text(from), text(to), 0, MS_BIND, 0))
    this.#alias = { from, to }
    const seen = inside.map((file) => to + file.slice(from.length)).filter((each) => each.length <= MAX_BYTES)
    const below = [...this.#kinds].filter(([each]) => each.startsWith(`${from}/`))
    for (const [each, kind] of below) this.#kinds.set(to + each.slice(from.length), kind)
    this.files.push(...seen)
  }

  /** The path without the bind mount. */
  #canonical(at: string): string {
    const { from, to } = this.#alias ?? { from: '', to: '/' }
    return at === to || at.startsWith(`${to}/`) ? from + at.slice(to.length) : at === '/' ? '' : at
  }

  #onHost(at: string): string {
    const own = at === '/' ? '' : at
    return this.#kind === 'machine' ? own : asBytes(this.#ground.top) + own
  }

  /** Where a path leads to. */
  #place(seen: string, kind: Kind, identity: Identity): Place {
    const { fsTop, top, umask } = this.#ground
    const canonical = this.#canonical(seen)
    const isTop = canonical === this.#top
    const isRoot = isTop && this.#kind === 'mount'
    const below = canonical.slice(this.#top.length)
    return {
      kind,
      onFileSystem: this.#kind === 'mount' ? below : asBytes(fsTop) + below,
      name: isRoot ? '/' : ((isTop ? asBytes(top) : canonical).split('/').at(-1) ?? ''),
      identity,
      umask,
      ...(isRoot ? { mode: 0o041777 } : {}),
    }
  }

  /** A file or folder that is there now. The task's root has no path. */
  #value(seen: string, kind: Kind): Value {
    const identity = this.#tree.identity(this.#canonical(seen))
    return fileValue(seen === '/' ? '' : seen, this.#place(seen, kind, identity))
  }

  #hold(path: Value, at: string): Held {
    const held = { fd: HELD_FROM + this.#held.length, path, at }
    this.setup.push(sys('dup3', '@', held.fd, 0), sys('close', '@'))
    this.#held.push(held)
    if (path.kind === 'path') this.others.push(path.text)
    return held
  }

  #holdDeleted(): void {
    const gone = this.#newPath()
    const parent = gone.slice(0, gone.lastIndexOf('/'))
    if ((parent !== this.#top && !this.folders.includes(parent)) || this.#kinds.has(gone)) return
    this.setup.push(sys('openat', AT_FDCWD, text(gone), O_RDWR | O_CREAT, 0o644))
    const identity = this.#tree.lost(this.#canonical(gone))
    this.#hold(deletedFile(gone, this.#place(gone, 'file', identity)), gone)
    this.setup.push(sys('unlinkat', AT_FDCWD, text(gone), 0))
  }

  /** Longer than the agent's buffer. */
  #holdLong(): void {
    let at = `${this.#top}/long${this.#random.int(10)}`
    this.setup.push(sys('mkdirat', AT_FDCWD, text(at), 0o755), sys('chdir', text(at)))
    while (at.length <= 4_200) {
      const name = this.#random.pick(['n'.repeat(255), 'm'.repeat(200), 'k'.repeat(20)]) ?? ''
      this.setup.push(sys('mkdirat', AT_FDCWD, text(name), 0o755), sys('chdir', text(name)))
      at += `/${name}`
    }
    this.setup.push(sys('openat', AT_FDCWD, text('f'), O_RDWR | O_CREAT, 0o644))
    this.#hold(fileValue(`${at}/f`, this.#place(`${at}/f`, 'file', this.#tree.lost(`${at}/f`))), at)
  }

  #does(call: string, calls: (result: bigint) => readonly Call[] = () => []): void {
    this.lines.push(call)
    this.#follows.push({ state: this.#tasks.now, calls })
  }

  /** A call that must work, and what it calls in the kernel. */
  #works(does: string, ...calls: readonly Call[]): void {
    this.#does(does, (result) => {
      if (result < 0n && result > -4096n) throw new Error(`"${does}" failed with ${result}: the workload is wrong`)
      return calls
    })
  }

  /** What a process does that this one forks and waits for. */
  #fork(lives: () => void): void {
    const at = this.lines.length
    this.#does('')
    const before = this.#tasks.fork()
    const task = this.#tasks.now.number
    lives()
    this.#takeSignals()
    this.#tasks.ended(before)
    this.lines[at] = line('fork', this.lines.length - at - 1)
    this.#forks.push({ line: at, task })
  }

  #takeSignals(): void {
    this.#takes.push({ line: this.lines.length, task: this.#tasks.now.number })
    this.#does('signals')
  }

  #changeTask(): void {
    const random = this.#random
    if (random.chance(0.5)) return this.#works(this.#tasks.changeCapabilities())
    // With open files of the namespace before, paths would be those of another tree.
    const kinds = ['Uts', 'Ipc', 'Cgroup', ...(this.#kind === 'machine' && this.#held.length === 0 ? ['Mnt'] : [])]
    this.#works(this.#tasks.unshare(random.pick(kinds) ?? 'Uts'))
  }

  /** A file or folder gets another path, perhaps that of a file, which is gone then. */
  #rename(): void {
    const random = this.#random
    const from = random.pick([...this.files, ...this.folders.slice(1)]) ?? ''
    const isFile = this.#kinds.get(from) === 'file'
    const folder = random.pick(this.folders) ?? '/'
    const other = isFile && random.chance(0.4) ? random.pick(this.files) : undefined
    const to = other ?? `${folder === '/' ? '' : folder}/${random.pick(this.#names) ?? 'a'}`
    const isBelow = (path: string): boolean => path === from || path.startsWith(`${from}/`)
    const moves = this.#alias === undefined && !isBelow(to) && !this.#held.some(({ at }) => isBelow(at))
    const taken = other === undefined ? this.#kinds.has(to) : this.#tree.same(from, to)
    const [longest = 0] = [...this.#kinds.keys()]
      .filter(isBelow)
      .map(({ length }) => length)
      .toSorted((a, b) => b - a)
    if (!moves || taken || longest - from.length + to.length > MAX_BYTES) return
    const moved = this.#tree.identity(from)
    this.#tree.rename(from, to)
    const renamed = (path: string): string => (isBelow(path) ? to + path.slice(from.length) : path)
    for (const list of [this.files, this.folders]) {
      const next = list.filter((path) => path !== to).map(renamed)
      list.splice(0, list.length, ...next)
    }
    const kinds = [...this.#kinds].filter(([path]) => path !== to)
    this.#kinds.clear()
    for (const [path, kind] of kinds) this.#kinds.set(renamed(path), kind)
    const renames = sys('renameat', AT_FDCWD, text(from), AT_FDCWD, text(to), 0)
    this.#works(renames, { call: '', args: [], returned: 0n, moved })
  }

  #useSocket(): void {
    const random = this.#random
    const { fd, facts } = random.pick(this.sockets) ?? { fd: -1, facts: undefined }
    if (facts === undefined) return
    const socket: Value = { kind: 'socket', socket: facts }
    if (random.chance(0.5)) {
      const call = { call: 'security_socket_getsockname', args: [socket], returned: 0n }
      return this.#works(sys('getsockname', fd, '*', '*'), call)
    }
    // It has an address already.
    const { bytes, facts: address } = someAddress(random)
    const args: Value[] = [socket, { kind: 'socket', socket: address }, number(bytes.length)]
    this.#does(sys('bind', fd, text(bytes), bytes.length), (result) => {
      if (result >= 0n) throw new Error('a socket has got a second address: the workload is wrong')
      return [{ call: 'security_socket_bind', args, returned: 0n }]
    })
  }

  #access(): void {
    const random = this.#random
    const kind = random.int(20)
    if (kind === 0) return this.#openNothing()
    if (kind === 1) return this.#unlinkNothing()
    if (kind === 2) {
      const args = [nothing, number(3), number(MAP_PRIVATE | MAP_ANONYMOUS)]
      this.#works(sys('mmap', 0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1n, 0), {
        call: 'security_mmap_file',
        args,
        returned: 0n,
      })
      return this.#does(sys('munmap', '=', 4096))
    }
    const isFolder = random.chance(0.15)
    const at = random.pick(isFolder ? this.folders : this.files) ?? ''
    if (!isFolder && random.chance(0.3)) {
      const args = [this.#value(at, 'file')]
      this.#works(sys('truncate', text(at), random.int(9)), { call: 'security_path_truncate', args, returned: 0n })
    }
    this.#open(at, isFolder)
  }

  #open(at: string, isFolder: boolean): void {
    const random = this.#random
    const flags =
      (isFolder ? O_DIRECTORY : O_RDWR) | (random.pick([0, O_CLOEXEC, O_NONBLOCK, O_CLOEXEC | O_NONBLOCK]) ?? 0)
    // An absolute path ignores the folder's descriptor, and the mode counts only for new files.
    const [folder, mode] = [random.pick(NUMBERS) ?? 0n, random.pick(NUMBERS) ?? 0n]
    const spelled = this.#spelled(at)
    const args: Value[] = [number(folder), { kind: 'text', text: spelled }, number(flags), number(mode)]
    const seen = this.#value(at, isFolder ? 'folder' : 'file')
    const opens = sys('openat', folder, text(spelled), flags, mode)
    this.#does(opens, (result) => {
      if (result < 0n) throw new Error(`"${opens}" failed with ${result}: the workload is wrong`)
      return [
        { call: 'sys_openat', args, returned: result },
        { call: 'security_file_open', args: [seen], returned: 0n },
      ]
    })
    for (let i = 1 + random.int(3); i > 0; i--) this.#use('@', seen, isFolder)
    this.#does(sys('close', '@'))
  }

  /** The same file, but perhaps another text; some are longer than 252 bytes only for that. */
  #spelled(at: string): string {
    const random = this.#random
    if (random.chance(0.75)) return at
    const slashes = '/'.repeat(1 + random.int(TEXT_BYTES - at.length))
    const spelled = at.replace('/', random.pick(['//', '/./', '/../', slashes]) ?? '/')
    this.texts.push(spelled)
    return spelled
  }

  #use(fd: Word, seen: Value, isFolder: boolean): void {
    const random = this.#random
    const argument = random.pick(NUMBERS) ?? 0n
    const works = (does: string, call: string, ...args: readonly Value[]): void =>
      this.#works(does, { call, args, returned: 0n })
    switch (random.int(isFolder ? 2 : 5)) {
      case 0: {
        const does = sys('fcntl', fd, F_GETFD, argument)
        return works(does, 'security_file_fcntl', seen, number(F_GETFD), number(argument))
      }
      case 1: {
        const read = isFolder ? sys('getdents', fd, '*', 4096) : sys('pread', fd, '*', 1, 0)
        return works(read, 'security_file_permission', seen, number(MAY_READ))
      }
      case 2:
      case 3:
        return works(sys('pwrite', fd, '*', 1, 0), 'security_file_permission', seen, number(MAY_WRITE))
      default: {
        const [prot, flags] = [
          random.int(8),
          (random.pick([MAP_SHARED, MAP_PRIVATE]) ?? 1) | (random.pick([0, MAP_NORESERVE]) ?? 0),
        ]
        works(sys('mmap', 0, 4096, prot, flags, fd, 0), 'security_mmap_file', seen, number(prot), number(flags))
        this.#does(sys('munmap', '=', 4096))
      }
    }
  }

  #useHeld({ fd, path: seen }: Held): void {
    for (let i = 0; i < 3; i++) this.#use(fd, seen, false)
  }

  /** A text like a path, but of nothing that exists; an empty one; or one that cannot be read. */
  #almost(): { readonly word: Word; readonly value: Value } {
    const random = this.#random
    if (random.int(6) === 0) return { word: '-', value: { kind: 'unreadable' } }
    const like = random.pick([...this.files, ...this.folders]) ?? ''
    const none = 'none '.repeat(1 + random.int(random.chance(0.5) ? 50 : 800))
    const value = random.pick([`${like}/none`, `${like}-none`, 'none', '/none', `none${like}`, none, none, '']) ?? ''
    this.texts.push(value)
    return { word: text(value), value: { kind: 'text', text: value } }
  }

  #fails(does: string, call: string, args: readonly Value[]): void {
    this.#does(does, (result) => {
      if (result >= 0n) throw new Error(`"${does}" did not fail: the workload is wrong`)
      return [{ call, args, returned: result }]
    })
  }

  #openNothing(): void {
    const { word, value } = this.#almost()
    const flags = this.#random.pick([0, O_RDWR, O_CLOEXEC]) ?? 0
    const does = sys('openat', AT_FDCWD, word, flags, 0)
    this.#fails(does, 'sys_openat', [number(AT_FDCWD), value, number(flags), number(0)])
  }

  #unlinkNothing(): void {
    const folder = this.#random.pick(NUMBERS) ?? 0n
    // A bit that means nothing: the call fails before it looks at the path.
    const flags = BigInt.asUintN(64, (this.#random.pick(NUMBERS) ?? 0n) | 1n)
    const exists = this.#random.pick(this.files) ?? ''
    const { word, value } = this.#random.chance(0.5)
      ? { word: text(exists), value: { kind: 'text', text: exists } as const }
      : this.#almost()
    const args = [number(folder), value, number(flags)]
    this.#fails(sys('unlinkat', folder, word, flags), 'sys_unlinkat', args)
  }
}
