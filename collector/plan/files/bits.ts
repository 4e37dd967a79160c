/** One bit for each identity filter of the policies; filters with the same operator and paths share one. */
import type { IdentityFilter, Policy } from '../../../config/policy/policy.ts'
import { IDENTITY_FILTERS_MAX } from '../../wire/wire.ts'
import { refusedAt } from '../refusal.ts'

const TOO_MANY =
  `expected at most ${IDENTITY_FILTERS_MAX} different lists of SameFile and UnderDir in all policies together, ` +
  'got one more: use the same list in several places, or remove one'

interface Used {
  readonly bit: bigint
  readonly filter: IdentityFilter
  users: number
}

const keyOf = ({ operator, values, sticky }: IdentityFilter): string =>
  JSON.stringify([operator, values.toSorted(), sticky === true])

export class FilterBits {
  readonly #used = new Map<string, Used>()
  /** The bit that was free for longest comes first: no program may still use its old meaning. */
  readonly #free = Array.from({ length: IDENTITY_FILTERS_MAX }, (_, i) => 1n << BigInt(i))

  /** Whether the filter is new. Throws POLICY_REFUSED when there is no bit. */
  take(policy: Pick<Policy, 'file'>, filter: IdentityFilter): boolean {
    const known = this.#used.get(keyOf(filter))
    if (known !== undefined) {
      known.users++
      return false
    }
    const bit = this.#free.shift()
    if (bit === undefined) throw refusedAt(policy, filter.at, TOO_MANY)
    this.#used.set(keyOf(filter), { bit, filter, users: 1 })
    return true
  }

  release(filter: IdentityFilter): void {
    const key = keyOf(filter)
    const known = this.#used.get(key)
    if (known === undefined || --known.users > 0) return
    this.#used.delete(key)
    this.#free.push(known.bit)
  }

  /** 0n for a filter without a bit. */
  bitOf(filter: IdentityFilter): bigint {
    return this.#used.get(keyOf(filter))?.bit ?? 0n
  }

  all(): Array<{ readonly bit: bigint; readonly filter: IdentityFilter }> {
    return [...this.#used.values()]
  }
}

/** Records in the ring may have the number of a removed path: it is used again after this many later ones were freed. */
export const FREED_NUMBERS_KEPT = 16_384

/** One number for each path that policies name, from 1 on. */
export class PathNumbers {
  readonly #numbers = new Map<string, number>()
  readonly #paths: string[] = ['']
  /** The number that was freed first comes first. */
  readonly #free = new Set<number>()

  of(path: string): number {
    const known = this.#numbers.get(path)
    if (known !== undefined) return known
    const [freed] = this.#free.size > FREED_NUMBERS_KEPT ? this.#free : []
    const number = freed ?? this.#paths.length
    this.#free.delete(number)
    this.#numbers.set(path, number)
    this.#paths[number] = path
    return number
  }

  /** Frees the numbers of all other paths. */
  keep(paths: ReadonlySet<string>): void {
    for (const [path, number] of this.#numbers) {
      if (paths.has(path)) continue
      this.#numbers.delete(path)
      this.#free.add(number)
    }
  }

  /** Also of a path whose number was freed, until it is given again. */
  pathOf(number: number): string | undefined {
    return number === 0 ? undefined : this.#paths[number]
  }
}
