/**
 * The calls that a process makes on a random tree of files and on sockets: which system calls, and which calls of kernel functions follow from them.
 */
import type { Seeded } from '../../../simulation/spool/random.ts'
import { line, sys } from '../calls.ts'
import type { Word } from '../calls.ts'
import type { Call } from '../evaluator.ts'
import type { FileLookup } from '../identity.ts'
import type { Value } from '../value.ts'
import { AT_FDCWD, NUMBERS, O_RDWR } from './alphabet.ts'
import { Files } from './files.ts'
import type { Ground, Held } from './files.ts'
import { someAddress, someSockets } from './sockets.ts'
import type { HeldSocket } from './sockets.ts'
import { Tasks, factsOf } from './tasks.ts'
import type { Made, TaskState } from './tasks.ts'
import { nothing, output } from './values.ts'

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
const EFAULT = 14n
/** Longer texts are cut in records. */
const TEXT_BYTES = 4095
/** More than is read of a buffer. */
const CONTENT_BYTES = 6000

const number = (value: bigint | number): Value => ({ kind: 'number', value: BigInt(value) })
const text = (value: string): Word => ({ text: value })

export class World {
  /** Builds the tree. */
  readonly setup: string[] = []
  /** The calls that policies see. */
  readonly lines: string[] = []
  readonly tree: Files
  /** Texts that system calls get, beside paths. */
  readonly texts: string[] = []
  /** Bytes that are written to files. */
  readonly contents: string[] = []
  /** Files and folders by their paths for the host, as they are when policies are loaded; some do not exist. */
  readonly hostPaths: { readonly files: readonly string[]; readonly folders: readonly string[] }
  readonly sockets: readonly HeldSocket[]
  /** The files at the host's paths when policies are loaded. */
  readonly lookup: FileLookup
  readonly #follows: Array<{ readonly state: TaskState; readonly calls: (result: bigint) => readonly Call[] }> = []
  /** Lines whose results are pids, and lines whose results are numbers of signals, with their processes. */
  readonly #forks: Array<{ readonly line: number; readonly task: number }> = []
  readonly #takes: Array<{ readonly line: number; readonly task: number }> = []
  readonly #random: Seeded
  readonly #tasks: Tasks

  constructor(random: Seeded, ground: Ground) {
    this.#random = random
    this.#tasks = new Tasks(random)
    this.setup.push(this.#tasks.unshare('Mnt'))
    this.tree = new Files(random, ground, this.setup)
    this.sockets = random.chance(0.35) ? someSockets(random, this.setup) : []
    const isInner = random.chance(0.1)
    if (isInner) this.setup.push(this.#tasks.unshare('Pid'))
    this.#tasks.loaded()
    const { files, folders } = this.tree
    this.lookup = this.tree.lookup()
    const onHost = (at: string): string => this.tree.onHost(at)
    this.hostPaths = { files: files.map(onHost), folders: folders.map(onHost) }
    if (isInner) this.#fork(() => this.#live(false))
    else this.#live(true)
    this.#takeSignals()
    const args = [output, number(MAY_WRITE)]
    this.#follows.push({
      state: this.#tasks.now,
      calls: () => [{ call: 'security_file_permission', args, returned: 0n, late: true }],
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
    for (const held of this.tree.held) this.#useHeld(held)
  }

  #step(): void {
    const random = this.#random
    const what = random.int(100)
    if (what < 8) return this.#changeTask()
    if (what < 14) return this.#rename()
    if (what < 40 && this.sockets.length > 0) return this.#useSocket()
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

  /** Number of signals that the processes have received, by pid. */
  signals(results: readonly bigint[], pids: readonly number[]): ReadonlyMap<number, number> {
    return new Map(this.#takes.map(({ line: at, task }) => [pids[task] ?? -1, Number(results[at] ?? -1)]))
  }

  #does(call: string, calls: (result: bigint) => readonly Call[] = () => []): void {
    this.lines.push(call)
    this.#follows.push({ state: this.#tasks.now, calls })
  }

  /** A call that must work, and the functions that it calls in the kernel. */
  #works(does: string, ...calls: readonly Call[]): void {
    this.#does(does, (result) => {
      if (result < 0n && result > -4096n) throw new Error(`"${does}" failed with ${result}: the workload is wrong`)
      return calls
    })
  }

  /** Adds a fork, the lines of the new process, and the wait for it. */
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
    const kinds = [
      'Uts',
      'Ipc',
      'Cgroup',
      ...(this.tree.root === 'machine' && this.tree.held.length === 0 ? ['Mnt'] : []),
    ]
    this.#works(this.#tasks.unshare(random.pick(kinds) ?? 'Uts'))
  }

  #rename(): void {
    const { call, moved } = this.tree.rename() ?? {}
    if (call !== undefined && moved !== undefined) this.#works(call, { call: '', args: [], returned: 0n, moved })
  }

  #useSocket(): void {
    const random = this.#random
    const { fd, facts } = random.pick(this.sockets) ?? { fd: -1, facts: undefined }
    if (facts === undefined) return
    const socket: Value = { kind: 'socket', socket: facts }
    if (random.chance(0.5)) {
      const call = { call: 'security_socket_getsockname', args: [socket], returned: 0n }
      // The length is not where the address is: since 7.x the kernel writes the address last, and then reads it as the next length.
      return this.#works(sys('getsockname', fd, '*', '*2048'), call)
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
    const at = random.pick(isFolder ? this.tree.folders : this.tree.files) ?? ''
    if (!isFolder && random.chance(0.3)) {
      const args = [this.tree.value(at, 'file')]
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
    const seen = this.tree.value(at, isFolder ? 'folder' : 'file')
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

  /** A path of the file, perhaps another one; some are longer than 252 bytes only so. */
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
        return this.#write(fd, seen)
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

  #write(fd: Word, seen: Value): void {
    const bytes = this.#random.chance(0.05) ? undefined : this.#content()
    const length = bytes?.length ?? 1
    const args: Value[] = [
      seen,
      bytes === undefined ? { kind: 'unreadable' } : { kind: 'bytes', text: bytes },
      number(length),
      number(0),
    ]
    const does = sys('pwrite', fd, bytes === undefined ? '-' : text(bytes), length, 0)
    this.#does(does, (result) => {
      if (result !== (bytes === undefined ? -EFAULT : BigInt(length))) {
        throw new Error(`"${does.slice(0, 200)}" gave ${result}: the workload is wrong`)
      }
      return [
        { call: 'sys_pwrite64', args, returned: result },
        { call: 'security_file_permission', args: [seen, number(MAY_WRITE)], returned: 0n },
      ]
    })
  }

  /** Bytes that are like a path, with NULs, or many. */
  #content(): string {
    const random = this.#random
    const like = random.pick([...this.tree.files, ...this.texts]) || 'a'
    const some = random.pick([like, `${like}\0`, `\0${like}\0\0x`, 'x', '\0', '\xff\xfe', `${like}\n`]) ?? 'x'
    const content = random.chance(0.2) ? some.repeat(1 + random.int(CONTENT_BYTES / some.length)) : some
    this.contents.push(content)
    return content
  }

  #useHeld({ fd, path: seen }: Held): void {
    for (let i = 0; i < 3; i++) this.#use(fd, seen, false)
  }

  /** A text like a path, but of nothing that exists; an empty one; or one that cannot be read. */
  #almost(): { readonly word: Word; readonly value: Value } {
    const random = this.#random
    if (random.int(6) === 0) return { word: '-', value: { kind: 'unreadable' } }
    const like = random.pick([...this.tree.files, ...this.tree.folders]) ?? ''
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
    // A bit that means nothing: the call fails before it reads the path.
    const flags = BigInt.asUintN(64, (this.#random.pick(NUMBERS) ?? 0n) | 1n)
    const exists = this.#random.pick(this.tree.files) ?? ''
    const { word, value } = this.#random.chance(0.5)
      ? { word: text(exists), value: { kind: 'text', text: exists } as const }
      : this.#almost()
    const args = [number(folder), value, number(flags)]
    this.#fails(sys('unlinkat', folder, word, flags), 'sys_unlinkat', args)
  }
}
