/** Files and folders by their paths on their own file system, as they are while a world is made and used. */
import type { FileLookup, Identity, Link } from '../identity.ts'

export type Kind = 'file' | 'folder'

interface Node {
  readonly id: number
  readonly kind: Kind
}

/** The folder of the tree's top, which policies may name too; and its replacements where the host sees another file system. */
const ABOVE = -1
const ABOVE_HIDDEN = -2
const COVERED = -3

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/'))
const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1)

/** Numbers of files are those of one world. */
const NODES_A_WORLD = 1_000_000
let nextWorld = 0

export class Tree {
  readonly #nodes = new Map<string, Node>()
  readonly #top: string
  readonly #hostTop: string
  readonly #isHidden: boolean
  #nextId = nextWorld++ * NODES_A_WORLD

  /** `top`: its path for the process; `hostTop`: for the host, which sees the tree unless it is hidden. */
  constructor(top: string, hostTop: string, isHidden: boolean) {
    this.#top = top
    this.#hostTop = hostTop
    this.#isHidden = isHidden
    this.add(top, 'folder')
  }

  add(path: string, kind: Kind): void {
    this.#nodes.set(path, { id: this.#nextId++, kind })
  }

  /** A hard link. */
  link(from: string, to: string): void {
    const node = this.#nodes.get(from)
    if (node !== undefined) this.#nodes.set(to, node)
  }

  /** Replaces the file or folder at `to`; with everything below. */
  rename(from: string, to: string): void {
    this.#nodes.delete(to)
    for (const [path, node] of this.#nodes) {
      if (path !== from && !path.startsWith(`${from}/`)) continue
      this.#nodes.delete(path)
      this.#nodes.set(to + path.slice(from.length), node)
    }
  }

  /** Whether both are one file. */
  same(one: string, other: string): boolean {
    return this.#nodes.get(one)?.id === this.#nodes.get(other)?.id
  }

  identity(path: string): Identity {
    const node = this.#nodes.get(path)
    if (node === undefined) throw new Error(`nothing at ${path}`)
    const paths = [...this.#nodes].filter(([, { id }]) => id === node.id).map(([each]) => each)
    return { node: node.id, chains: paths.map((each) => this.#chain(each)) }
  }

  /** Identity of a file that is in none of the folders any more, or never was: missing folders count as others. */
  lost(path: string): Identity {
    const fresh: Link[] = []
    let at = path
    let node = this.#nextId++
    while (at !== this.#top) {
      const parent = this.#nodes.get(parentOf(at))?.id ?? this.#nextId++
      fresh.push({ node, parent, name: nameOf(at) })
      at = parentOf(at)
      node = parent
      if (this.#nodes.has(at)) return { node: fresh[0]?.node ?? node, chains: [[...fresh, ...this.#chain(at)]] }
    }
    throw new Error(`${path} is the top`)
  }

  #chain(path: string): Link[] {
    const node = this.#nodes.get(path)?.id ?? -1
    if (path === this.#top) {
      return [{ node, parent: this.#isHidden ? ABOVE_HIDDEN : ABOVE, name: nameOf(this.#hostTop) }]
    }
    const parent = this.#nodes.get(parentOf(path))?.id ?? -1
    return [{ node, parent, name: nameOf(path) }, ...this.#chain(parentOf(path))]
  }

  /** The files at the paths of the host now. */
  lookup(): FileLookup {
    const nodes = new Map(this.#nodes)
    return (path) => {
      if (path === this.#hostTop) {
        const node = this.#isHidden ? COVERED : (nodes.get(this.#top)?.id ?? COVERED)
        return { node, parent: ABOVE, name: nameOf(path) }
      }
      if (this.#isHidden || !path.startsWith(`${this.#hostTop}/`)) return undefined
      const own = this.#top + path.slice(this.#hostTop.length)
      const parent = nodes.get(parentOf(own))
      if (parent?.kind !== 'folder') return undefined
      const node = nodes.get(own)
      return { ...(node === undefined ? {} : { node: node.id }), parent: parent.id, name: nameOf(own) }
    }
  }
}
