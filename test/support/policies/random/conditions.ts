/** Random filters on processes; most of them hold. */
import type { Seeded } from '../../../simulation/spool/random.ts'
import type { BinariesDocument, CapabilitiesDocument, PidsDocument, ProcessFilters } from '../process-filters.ts'
import { DROPPED } from './alphabet.ts'

const KINDS: readonly string[] = ['Mnt', 'Net', 'User', 'Uts', 'Ipc', 'Cgroup', 'Pid', 'PidForChildren']
const SETS: readonly string[] = ['Effective', 'Permitted', 'Inheritable']

/** Facts about the processes of a world that are known before they run. */
export interface Known {
  /** Programs of the process that makes the calls, and of its parent. */
  readonly programs: readonly string[]
  /** Pids of that process, its parent, and the parent's parent. */
  readonly pids: readonly number[]
}

export class Conditions {
  readonly #random: Seeded
  readonly #known: Known
  #left: number

  /** `room`: number of conditions that fit. */
  constructor(random: Seeded, known: Known, room: number) {
    this.#random = random
    this.#known = known
    this.#left = room
  }

  /** Mostly one: together they rarely hold. */
  some(): ProcessFilters {
    const random = this.#random
    const makes: ReadonlyArray<() => ProcessFilters> = [
      () => ({ matchBinaries: [this.#binaries()] }),
      () => ({ matchBinaries: [this.#binaries()] }),
      () => ({ matchParentBinaries: [this.#binaries()] }),
      () => ({ matchPIDs: this.#few(() => this.#pids()) }),
      () => ({ matchNamespaces: this.#few(() => this.#namespaces()) }),
      () => ({ matchCapabilities: this.#few(() => this.#capabilities()) }),
      () => ({ matchNamespaceChanges: [{ operator: this.#inOr(), values: this.#names(KINDS) }] }),
      () => ({ matchCapabilityChanges: [this.#capabilities()] }),
    ]
    const one = (): ProcessFilters => random.pick(makes)?.() ?? {}
    const found = random.chance(0.7) ? one() : { ...one(), ...one() }
    this.#left -= Object.values(found).flat().length
    return this.#left < 0 ? {} : found
  }

  readonly #inOr = (): string => (this.#random.chance(0.5) ? 'In' : 'NotIn')

  #few<T>(make: () => T): T[] {
    return Array.from({ length: this.#random.chance(0.8) ? 1 : 2 }, make)
  }

  #names(of: readonly string[]): string[] {
    const first = this.#random.int(of.length)
    return of.slice(first, first + 1 + this.#random.int(3))
  }

  #binaries(): BinariesDocument {
    const random = this.#random
    const operator = random.pick(['In', 'In', 'Prefix', 'Postfix', 'NotIn', 'NotPrefix', 'NotPostfix']) ?? 'In'
    const values = Array.from({ length: 1 + random.int(random.chance(0.1) ? 40 : 3) }, () => this.#program(operator))
    const follow = operator.endsWith('In') && random.chance(0.4)
    return { operator, values, ...(follow ? { followChildren: true } : {}) }
  }

  #program(operator: string): string {
    const random = this.#random
    const whole = random.pick(this.#known.programs) ?? '/'
    const cut = 1 + random.int(whole.length)
    const some = operator.endsWith('refix')
      ? whole.slice(0, cut)
      : operator.endsWith('ostfix')
        ? whole.slice(-cut)
        : whole
    return random.chance(0.3) ? `${some.slice(0, -1)}y` : some
  }

  #pids(): PidsDocument {
    const random = this.#random
    const values = Array.from({ length: 1 + random.int(3) }, () =>
      random.chance(0.6) ? (random.pick(this.#known.pids) ?? 1) : 1 + random.int(3),
    )
    return {
      operator: this.#inOr(),
      values,
      ...(random.chance(0.3) ? { isNamespacePID: true } : {}),
      ...(random.chance(0.5) ? { followForks: true } : {}),
    }
  }

  #namespaces(): NonNullable<ProcessFilters['matchNamespaces']>[number] {
    const namespace = this.#random.pick(KINDS) ?? 'Mnt'
    return { namespace, operator: this.#inOr(), values: this.#random.chance(0.8) ? ['host_ns', '7'] : ['7'] }
  }

  #capabilities(): CapabilitiesDocument {
    const random = this.#random
    return {
      ...(random.chance(0.7) ? { type: random.pick(SETS) ?? 'Effective' } : {}),
      operator: this.#inOr(),
      values: random.chance(0.2) ? ['CAP_SYS_ADMIN', 'CAP_MKNOD'] : this.#names(DROPPED),
      ...(random.chance(0.05) ? { isNamespaceCapability: true } : {}),
    }
  }
}
