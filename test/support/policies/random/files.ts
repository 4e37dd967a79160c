/**
 * A random tree of files: its creation by a process before policies see the calls, and the targets of paths. Paths are bytes as latin1, as the
 * process sees
 * them.
 */
import type { Seeded } from '../../../simulation/spool/random.ts'
import { sys } from '../calls.ts'
import type { Word } from '../calls.ts'
import type { FileLookup, Identity } from '../identity.ts'
import { asBytes } from '../operators.ts'
import type { Value } from '../value.ts'
import { AT_FDCWD, NAMES, O_CREAT, O_RDWR } from './alphabet.ts'
import { Tree } from './tree.ts'
import type { Kind } from './tree.ts'
import { deletedFile, fileValue } from './values.ts'
import type { Place } from './values.ts'

const MS_PRIVATE_ALL = (1 << 18) | (1 << 14)
const MS_BIND = 1 << 12
/** Descriptors of files that are held open from the beginning. */
const HELD_FROM = 20
/** Longer paths cannot be given to a system call. */
const MAX_BYTES = 3_800

export interface Held {
  readonly fd: number
  readonly path: Value
  /** As policies see it; files above it stay where they are. */
  readonly at: string
}

/** Where the tree is. */
export interface Ground {
  /** An empty folder of a tmpfs. */
  readonly top: string
  /** `top` on its file system. */
  readonly fsTop: string
  readonly umask: number
}

const text = (value: string): Word => ({ text: value })

export class Files {
  readonly files: string[] = []
  readonly folders: string[] = []
  /** Paths of files that were deleted, with their mark, and of others that are only held open. */
  readonly others: string[] = []
  readonly held: Held[] = []
  /** The process's root: the machine's, a folder, or a mount. */
  readonly root: 'machine' | 'folder' | 'mount'
  readonly #random: Seeded
  readonly #ground: Ground
  readonly #setup: string[]
  readonly #names: readonly string[]
  readonly #kinds = new Map<string, Kind>()
  readonly #tree: Tree
  #alias: { readonly from: string; readonly to: string } | undefined
  readonly #top: string

  /** `setup`: gets the system calls that make it; the process has left its mount namespace. */
  constructor(random: Seeded, ground: Ground, setup: string[]) {
    this.#random = random
    this.#ground = ground
    this.#setup = setup
    this.root = random.pick(['machine', 'folder', 'mount'] as const) ?? 'machine'
    this.#top = this.root === 'machine' ? asBytes(ground.top) : ''
    this.#tree = new Tree(this.#top, asBytes(ground.top), this.root === 'mount')
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
  }

  /** The files at the host's paths now. */
  lookup(): FileLookup {
    return this.#tree.lookup()
  }

  #enter(): void {
    this.#setup.push(sys('mount', text('none'), text('/'), 0, MS_PRIVATE_ALL, 0))
    const top = text(asBytes(this.#ground.top))
    if (this.root === 'mount') this.#setup.push(sys('mount', text('tmpfs'), top, text('tmpfs'), 0, 0))
    if (this.root !== 'machine') this.#setup.push(sys('chroot', top))
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
      this.#setup.push(sys('mkdirat', AT_FDCWD, text(at), 0o755))
      this.folders.push(at)
    } else {
      this.#setup.push(sys('openat', AT_FDCWD, text(at), O_RDWR | O_CREAT, 0o644), sys('close', '@'))
      this.files.push(at)
    }
  }

  /** A file gets a second name. */
  #linkFile(): void {
    const from = this.#random.pick(this.files)
    const to = this.#newPath()
    if (from === undefined || !this.#makeAbove(to)) return
    this.#setup.push(sys('linkat', AT_FDCWD, text(from), AT_FDCWD, text(to), 0))
    this.#kinds.set(to, 'file')
    this.#tree.link(from, to)
    this.files.push(to)
  }

  /** A file, or a folder with its content, gets a second path. */
  #bind(): void {
    const random = this.#random
    const isFile = random.chance(0.5)
    const from = random.pick(isFile ? this.files : this.folders.slice(1))
    const to = this.#newPath()
    // A folder within itself would show the mount point once more.
    if (from === undefined || `${to}/`.startsWith(`${from}/`) || `${from}/`.startsWith(`${to}/`)) return
    const inside = isFile ? [] : this.files.filter((file) => file.startsWith(`${from}/`))
    if (!this.#make(to, isFile ? 'file' : 'folder')) return
    this.#setup.push(sys('mount', text(from), text(to), 0, MS_BIND, 0))
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

  onHost(at: string): string {
    const own = at === '/' ? '' : at
    return this.root === 'machine' ? own : asBytes(this.#ground.top) + own
  }

  /** Where a path leads to. */
  #place(seen: string, kind: Kind, identity: Identity): Place {
    const { fsTop, top, umask } = this.#ground
    const canonical = this.#canonical(seen)
    const isTop = canonical === this.#top
    const isRoot = isTop && this.root === 'mount'
    const below = canonical.slice(this.#top.length)
    return {
      kind,
      onFileSystem: this.root === 'mount' ? below : asBytes(fsTop) + below,
      name: isRoot ? '/' : ((isTop ? asBytes(top) : canonical).split('/').at(-1) ?? ''),
      identity,
      umask,
      ...(isRoot ? { mode: 0o041777 } : {}),
    }
  }

  /** A present file or folder. The task's root has no path. */
  value(seen: string, kind: Kind): Value {
    const identity = this.#tree.identity(this.#canonical(seen))
    return fileValue(seen === '/' ? '' : seen, this.#place(seen, kind, identity))
  }

  #hold(path: Value, at: string): Held {
    const held = { fd: HELD_FROM + this.held.length, path, at }
    this.#setup.push(sys('dup3', '@', held.fd, 0), sys('close', '@'))
    this.held.push(held)
    if (path.kind === 'path') this.others.push(path.text)
    return held
  }

  #holdDeleted(): void {
    const gone = this.#newPath()
    const parent = gone.slice(0, gone.lastIndexOf('/'))
    if ((parent !== this.#top && !this.folders.includes(parent)) || this.#kinds.has(gone)) return
    this.#setup.push(sys('openat', AT_FDCWD, text(gone), O_RDWR | O_CREAT, 0o644))
    const identity = this.#tree.lost(this.#canonical(gone))
    this.#hold(deletedFile(gone, this.#place(gone, 'file', identity)), gone)
    this.#setup.push(sys('unlinkat', AT_FDCWD, text(gone), 0))
  }

  /** Longer than the agent's buffer. */
  #holdLong(): void {
    let at = `${this.#top}/long${this.#random.int(10)}`
    this.#setup.push(sys('mkdirat', AT_FDCWD, text(at), 0o755), sys('chdir', text(at)))
    while (at.length <= 4_200) {
      const name = this.#random.pick(['n'.repeat(255), 'm'.repeat(200), 'k'.repeat(20)]) ?? ''
      this.#setup.push(sys('mkdirat', AT_FDCWD, text(name), 0o755), sys('chdir', text(name)))
      at += `/${name}`
    }
    this.#setup.push(sys('openat', AT_FDCWD, text('f'), O_RDWR | O_CREAT, 0o644))
    this.#hold(fileValue(`${at}/f`, this.#place(`${at}/f`, 'file', this.#tree.lost(`${at}/f`))), at)
  }

  /** Moves a file or folder to another path, perhaps replacing a file: the system call, and the moved part. Undefined if it is not possible. */
  rename(): { readonly call: string; readonly moved: Identity } | undefined {
    const random = this.#random
    const from = random.pick([...this.files, ...this.folders.slice(1)]) ?? ''
    const isFile = this.#kinds.get(from) === 'file'
    const folder = random.pick(this.folders) ?? '/'
    const other = isFile && random.chance(0.4) ? random.pick(this.files) : undefined
    const to = other ?? `${folder === '/' ? '' : folder}/${random.pick(this.#names) ?? 'a'}`
    const isBelow = (path: string): boolean => path === from || path.startsWith(`${from}/`)
    const moves = this.#alias === undefined && !isBelow(to) && !this.held.some(({ at }) => isBelow(at))
    const taken = other === undefined ? this.#kinds.has(to) : this.#tree.same(from, to)
    const [longest = 0] = [...this.#kinds.keys()]
      .filter(isBelow)
      .map(({ length }) => length)
      .toSorted((a, b) => b - a)
    if (!moves || taken || longest - from.length + to.length > MAX_BYTES) return undefined
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
    return { call: sys('renameat', AT_FDCWD, text(from), AT_FDCWD, text(to), 0), moved }
  }
}
