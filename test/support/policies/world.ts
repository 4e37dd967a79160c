/**
 * A random tree of files and the calls that a process makes on them: which system calls, and which calls of kernel functions
 * follow from them. Paths and texts are bytes as latin1.
 */
import { kept } from '../../e2e/support/paths.ts'
import type { Seeded } from '../../simulation/spool/random.ts'
import { sys } from './calls.ts'
import type { Word } from './calls.ts'
import { asBytes } from './evaluator.ts'
import type { Call, Value } from './evaluator.ts'

/** Names that are alike: equal first 8 bytes, one the beginning of another, the longest, ones that look like a mark. */
const NAMES: readonly string[] = [
  ...'a b ab abc abd d dd eightle eightlen eightlem eightlenx eightleny passwd passwd.bak xpasswd ... -rf %41'.split(
    ' ',
  ),
  'twenty-bytes-of-name',
  'twenty-bytes-of-namf',
  'with space',
  ' lead',
  'looks (deleted)',
  'x (d',
  'new\nline',
  'back\\slash',
  '"q"',
  'a\xff',
  '\xff\xfe',
  asBytes('ü'),
  asBytes('€uro'),
  'n'.repeat(255),
  `${'n'.repeat(254)}m`,
  'm'.repeat(200),
  ...[15, 16, 17, 31, 32, 33, 63, 64, 65].map((length) => 'k'.repeat(length)),
  ...[15, 31, 32, 63, 64].map((length) => `${'k'.repeat(length)}q`),
]

/** Registers: around the ends of the widths, and where a set of bits might end. */
export const NUMBERS: readonly bigint[] = [
  ...'0 1 2 3 4 5 6 8 63 64 65 127 128 255 256 65535 65536 -1 -2 -100 -128'.split(' ').map(BigInt),
  2n ** 31n - 1n,
  2n ** 31n,
  -(2n ** 31n),
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 53n + 1n,
  2n ** 63n - 1n,
  -(2n ** 63n),
]

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
const CLONE_NEWNS = 0x20000
const MS_PRIVATE_ALL = (1 << 18) | (1 << 14)
const MS_BIND = 1 << 12
/** Descriptors of files that are held open from the beginning. */
const HELD_FROM = 20
/** Longer paths cannot be given to a system call. */
const MAX_BYTES = 3_800

interface Held {
  readonly fd: number
  readonly path: Value
}

const path = (text: string): Value => ({ kind: 'path', text })
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
  readonly #follows: Array<(result: bigint) => readonly Call[]> = []
  readonly #random: Seeded
  readonly #names: readonly string[]
  readonly #kinds = new Map<string, 'file' | 'folder'>()
  readonly #held: Held[] = []
  #top: string

  /** `top`: an empty folder of a tmpfs. */
  constructor(random: Seeded, top: string) {
    this.#random = random
    this.#top = asBytes(top)
    this.#names = Array.from({ length: 3 + random.int(8) }, () => random.pick(NAMES) ?? 'a')
    this.#enter()
    this.folders.push(this.#top === '' ? '/' : this.#top)
    const files = 6 + random.int(16)
    for (let i = 0; i < files; i++) this.#make(this.#newPath(), 'file')
    while (this.files.length === 0) this.#make(`${this.#top}/f${random.int(100)}`, 'file')
    if (random.chance(0.3)) this.#bind()
    for (let i = random.int(3); i > 0; i--) this.#holdDeleted()
    if (random.chance(0.1)) this.#holdLong()
    const accesses = 16 + random.int(24)
    for (let i = 0; i < accesses; i++) this.#access()
    for (const held of this.#held) this.#useHeld(held)
    // The results are written to a pipe.
    this.#follows.push(() => [{ call: 'security_file_permission', args: [path(''), number(MAY_WRITE)], returned: 0n }])
  }

  /** Every call that policies see, in order. `results`: of `lines`. */
  calls(results: readonly bigint[]): Call[] {
    return this.#follows.flatMap((follows, i) => follows(results[i] ?? 0n))
  }

  /** The process's root: the machine's, a folder, or a mount. */
  #enter(): void {
    const kind = this.#random.pick(['machine', 'folder', 'mount'])
    this.setup.push(sys('unshare', CLONE_NEWNS), sys('mount', text('none'), text('/'), 0, MS_PRIVATE_ALL, 0))
    if (kind === 'mount') this.setup.push(sys('mount', text('tmpfs'), text(this.#top), text('tmpfs'), 0, 0))
    if (kind === 'machine') return
    this.setup.push(sys('chroot', text(this.#top)))
    this.#top = ''
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
  #make(wanted: string, kind: 'file' | 'folder'): boolean {
    const names = wanted.slice(this.#top.length + 1).split('/')
    const above = names.slice(0, -1).map((_, i) => `${this.#top}/${names.slice(0, i + 1).join('/')}`)
    if (this.#kinds.has(wanted) || above.some((folder) => this.#kinds.get(folder) === 'file')) return false
    for (const folder of above.filter((each) => !this.#kinds.has(each))) this.#add(folder, 'folder')
    this.#add(wanted, kind)
    return true
  }

  #add(at: string, kind: 'file' | 'folder'): void {
    this.#kinds.set(at, kind)
    if (kind === 'folder') {
      this.setup.push(sys('mkdirat', AT_FDCWD, text(at), 0o755))
      this.folders.push(at)
    } else {
      this.setup.push(sys('openat', AT_FDCWD, text(at), O_RDWR | O_CREAT, 0o644), sys('close', '@'))
      this.files.push(at)
    }
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
    const seen = inside.map((file) => to + file.slice(from.length)).filter((each) => each.length <= MAX_BYTES)
    const below = [...this.#kinds].filter(([each]) => each.startsWith(`${from}/`))
    for (const [each, kind] of below) this.#kinds.set(to + each.slice(from.length), kind)
    this.files.push(...seen)
  }

  #hold(seen: Value): Held {
    const held = { fd: HELD_FROM + this.#held.length, path: seen }
    this.setup.push(sys('dup3', '@', held.fd, 0), sys('close', '@'))
    this.#held.push(held)
    if (seen.kind === 'path') this.others.push(seen.text)
    return held
  }

  #holdDeleted(): void {
    const gone = this.#newPath()
    const parent = gone.slice(0, gone.lastIndexOf('/'))
    if ((parent !== this.#top && !this.folders.includes(parent)) || this.#kinds.has(gone)) return
    this.setup.push(sys('openat', AT_FDCWD, text(gone), O_RDWR | O_CREAT, 0o644))
    this.#hold(path(`${gone} (deleted)`))
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
    this.#hold({ kind: 'path', text: kept(Buffer.from(`${at}/f`, 'latin1')).text, whole: `${at}/f` })
  }

  #does(call: string, follows: (result: bigint) => readonly Call[] = () => []): void {
    this.lines.push(call)
    this.#follows.push(follows)
  }

  /** A call that must work, and what it calls in the kernel. */
  #works(does: string, call: string, ...args: readonly Value[]): void {
    this.#does(does, (result) => {
      if (result < 0n && result > -4096n) throw new Error(`"${does}" failed with ${result}: the workload is wrong`)
      return [{ call, args, returned: 0n }]
    })
  }

  #access(): void {
    const random = this.#random
    const kind = random.int(20)
    if (kind === 0) return this.#openNothing()
    if (kind === 1) return this.#unlinkNothing()
    if (kind === 2) {
      this.#works(
        sys('mmap', 0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1n, 0),
        ...(['security_mmap_file', path(''), number(3), number(MAP_PRIVATE | MAP_ANONYMOUS)] as const),
      )
      return this.#does(sys('munmap', '=', 4096))
    }
    const isFolder = random.chance(0.15)
    const at = random.pick(isFolder ? this.folders : this.files) ?? ''
    if (!isFolder && random.chance(0.3))
      this.#works(sys('truncate', text(at), random.int(9)), 'security_path_truncate', path(at))
    this.#open(at, isFolder)
  }

  #open(at: string, isFolder: boolean): void {
    const random = this.#random
    const flags =
      (isFolder ? O_DIRECTORY : O_RDWR) | (random.pick([0, O_CLOEXEC, O_NONBLOCK, O_CLOEXEC | O_NONBLOCK]) ?? 0)
    // An absolute path ignores the folder's descriptor, and the mode counts only for new files.
    const [folder, mode] = [random.pick(NUMBERS) ?? 0n, random.pick(NUMBERS) ?? 0n]
    // The same file, but another text.
    const spelled = random.chance(0.2) ? at.replace('/', random.pick(['//', '/./', '/../']) ?? '/') : at
    const args: Value[] = [number(folder), { kind: 'text', text: spelled }, number(flags), number(mode)]
    // The task's root has no path.
    const seen = path(at === '/' ? '' : at)
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

  #use(fd: Word, seen: Value, isFolder: boolean): void {
    const random = this.#random
    const argument = random.pick(NUMBERS) ?? 0n
    switch (random.int(isFolder ? 2 : 5)) {
      case 0:
        return this.#works(
          sys('fcntl', fd, F_GETFD, argument),
          ...(['security_file_fcntl', seen, number(F_GETFD), number(argument)] as const),
        )
      case 1: {
        const read = isFolder ? sys('getdents', fd, '*', 4096) : sys('pread', fd, '*', 1, 0)
        return this.#works(read, 'security_file_permission', seen, number(MAY_READ))
      }
      case 2:
      case 3:
        return this.#works(sys('pwrite', fd, '*', 1, 0), 'security_file_permission', seen, number(MAY_WRITE))
      default: {
        const [prot, flags] = [
          random.int(8),
          (random.pick([MAP_SHARED, MAP_PRIVATE]) ?? 1) | (random.pick([0, MAP_NORESERVE]) ?? 0),
        ]
        this.#works(sys('mmap', 0, 4096, prot, flags, fd, 0), 'security_mmap_file', seen, number(prot), number(flags))
        this.#does(sys('munmap', '=', 4096))
      }
    }
  }

  #useHeld({ fd, path: seen }: Held): void {
    for (let i = 0; i < 3; i++) this.#use(fd, seen, false)
  }

  /**
   * A text like a path, but of nothing that exists; or one that cannot be read. Not the empty one, which is reported like
   * those: bpf_probe_read_user_str returns 0 for it.
   */
  #almost(): { readonly word: Word; readonly value: Value } {
    const random = this.#random
    if (random.int(6) === 0) return { word: '-', value: { kind: 'unreadable' } }
    const like = random.pick([...this.files, ...this.folders]) ?? ''
    const value =
      random.pick([
        `${like}/none`,
        `${like}-none`,
        'none',
        '/none',
        `none${like}`,
        'none '.repeat(1 + random.int(50)),
      ]) ?? ''
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
    this.#fails(sys('openat', AT_FDCWD, word, flags, 0), 'sys_openat', [
      number(AT_FDCWD),
      value,
      number(flags),
      number(0),
    ])
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
