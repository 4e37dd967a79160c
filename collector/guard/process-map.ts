/**
 * Whether the kernel's table of processes still has the processes that the agent knows. Each check includes the agent's own entry, so that an
 * emptied table is found at once, and a few others in turn.
 */
import { plural } from '../../config/base/counts.ts'
import { startOf } from '../process/image.ts'
import type { Image } from '../process/image.ts'
import type { ProcessTable } from '../process/table.ts'
import { startedAt } from '../host/proc-stat.ts'
import { attempt } from '../kernel/watched/attempt.ts'
import type { Kernel } from '../kernel/port.ts'
import type { Finding } from '../kernel/watched/finding.ts'

/** Entries per check, some 2 µs each. */
const ENTRIES = 64
/** The table in the kernel; findings name it as bpftool does. */
const ON = 'processes'

export interface ProcessMapOptions {
  readonly agentPid: number
  /** The agent's own. */
  readonly table: Pick<ProcessTable, 'latest' | 'find'>
  readonly kernel: Pick<Kernel, 'processStart' | 'seedProcess' | 'forgetProcess'>
  readonly procfs: string
  /** Processes that the kernel's table had no room for: then it may lack some. */
  readonly full: () => number
  /** Compares the tables as a whole, soon, and enters missing processes. */
  readonly compare: () => void
}

export class ProcessMapCheck {
  readonly #options: ProcessMapOptions
  #turn: MapIterator<Image> | undefined
  /** Entries that were wrong at the last check; a record on its way may explain them. */
  #suspects: readonly Image[] = []

  constructor(options: ProcessMapOptions) {
    this.#options = options
  }

  check(): Finding[] {
    const { agentPid, table, full, compare } = this.#options
    const own = table.find(agentPid, 0, 0)
    if (own !== undefined && this.#wrong(own)) {
      this.#suspects = []
      compare()
      return [finding('no entry of the agent itself', this.#repair(own))]
    }
    if (full() > 0) return []
    const gone = this.#suspects.filter((image) => this.#wrong(image) && this.#runs(image))
    this.#suspects = this.#next().filter((image) => this.#wrong(image))
    if (gone.length === 0) return []
    const repaired = gone.map((image) => this.#repair(image)).every(Boolean)
    return [finding(`missing or changed entries of ${plural(gone.length, 'running process')}`, repaired)]
  }

  #next(): Image[] {
    this.#turn ??= this.#options.table.latest()
    const images = [...this.#turn.take(ENTRIES)]
    if (images.length < ENTRIES) this.#turn = undefined
    return images
  }

  /** A later start is an exec whose record is under way or lost: no finding. */
  #wrong(image: Image): boolean {
    const { pid } = image.process
    if (image.ended || pid === 0) return false
    const start = this.#options.kernel.processStart(pid)
    return start === undefined || start < startOf(image.startLo, image.startHi)
  }

  /** Whether it is still the pid's latest image, and its process runs. */
  #runs({ process: { pid }, startLo, startHi, ended }: Image): boolean {
    const latest = this.#options.table.find(pid, 0, 0)
    if (ended || latest?.startLo !== startLo || latest.startHi !== startHi) return false
    const started = startedAt(this.#options.procfs, pid)
    return typeof started === 'bigint' && started <= startOf(startLo, startHi)
  }

  #repair({ process: { pid }, startLo, startHi, parent }: Image): boolean {
    const { kernel } = this.#options
    return attempt(() => {
      if (kernel.processStart(pid) !== undefined) kernel.forgetProcess(pid)
      return kernel.seedProcess(pid, startOf(startLo, startHi), parent?.process.pid ?? 0)
    })
  }
}

const finding = (got: string, repaired: boolean): Finding => ({
  kind: 'process_map_changed',
  on: ON,
  expected: 'the processes that run',
  got,
  repaired,
})
