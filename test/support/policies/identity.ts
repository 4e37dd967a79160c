/** The files that SameFile and UnderDir match, computed plainly from docs/reference/policy/files-by-identity.md. */
import { asBytes } from './operators.ts'

/** A name of a file or folder in its folder. */
export interface Link {
  /** The file or folder. */
  readonly node: number
  /** Its folder. */
  readonly parent: number
  readonly name: string
}

/** A file or folder at a moment, wherever it is mounted. */
export interface Identity {
  readonly node: number
  /** Each of its hard links with the folders above, from the file on, on its own file system. */
  readonly chains: ReadonlyArray<readonly Link[]>
}

export interface IdentityFilter {
  readonly operator: string
  readonly values?: readonly string[]
  readonly sticky?: boolean
}

/** The file at the host's path; undefined if not even its folder exists. `node`: undefined if nothing has that name. */
export type FileLookup = (
  path: string,
) => { readonly node?: number; readonly parent: number; readonly name: string } | undefined

export const isIdentityOperator = (operator: string): boolean => operator === 'SameFile' || operator === 'UnderDir'

const keyOf = ({ parent, name }: Pick<Link, 'parent' | 'name'>): string => `${parent}/${name}`

/** The files of a filter: those that its paths lead to when the policy is loaded, and those that have these names later. */
export class WantedFiles {
  readonly #nodes = new Set<number>()
  readonly #names = new Set<string>()
  /** Files and folders that left the folders of a sticky filter. */
  readonly #left = new Set<number>()
  readonly #isUnder: boolean
  readonly #isSticky: boolean

  constructor({ operator, values = [], sticky = false }: IdentityFilter, files: FileLookup) {
    this.#isUnder = operator === 'UnderDir'
    this.#isSticky = sticky
    for (const value of values) {
      const found = files(asBytes(value))
      if (found === undefined) continue
      if (found.node !== undefined) this.#nodes.add(found.node)
      this.#names.add(keyOf(found))
    }
  }

  has(identity: Identity | undefined): boolean {
    if (identity === undefined) return false
    return identity.chains.some((chain) =>
      (this.#isUnder ? chain : chain.slice(0, 1)).some((link) => this.#isOne(link)),
    )
  }

  #isOne(link: Link): boolean {
    return this.#nodes.has(link.node) || this.#names.has(keyOf(link)) || this.#left.has(link.node)
  }

  move(identity: Identity): void {
    if (this.#isSticky && this.has(identity)) this.#left.add(identity.node)
  }
}
