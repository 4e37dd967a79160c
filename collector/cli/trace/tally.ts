/** Sums of the accesses of each process to each file, from the events of a policy of `traceText`. */
import { describeKprobe } from '../../../exporters/index.ts'
import type { Argument, HookEvent, Process } from '../../../exporters/contract/event.ts'
import { BITS } from '../watch/policy.ts'

/** `bytes`: of read(2), write(2), pread(2), pwrite(2) and copy_file_range(2). */
export interface Amount {
  calls: number
  bytes: number
}

export interface FileUse {
  readonly path: string
  readonly read: Amount
  readonly write: Amount
  executed: boolean
  deleted: boolean
  /** Names of other changes, such as `rename` and `chmod`, and of refused calls with their error. */
  readonly others: Set<string>
}

export interface ProcessUse {
  /** Its last image: a shell's child is the program that it executes. */
  process: Process
  /** The pid of its parent. */
  readonly parent: number
  readonly files: Map<string, FileUse>
}

export class Tally {
  /** By pid, in the order of their first event. */
  readonly processes = new Map<number, ProcessUse>()

  /** Only files that were changed, and their processes. */
  changes(): Tally {
    const changed = new Tally()
    for (const [pid, used] of this.processes) {
      const files = [...used.files].filter(
        ([, use]) => use.write.calls + use.write.bytes + use.others.size > 0 || use.deleted,
      )
      if (files.length > 0) changed.processes.set(pid, { ...used, files: new Map(files) })
    }
    return changed
  }

  add(event: HookEvent): void {
    const { label, details } = describeKprobe(event)
    const files = event.args.filter((argument) => argument.kind === 'file')
    const used = this.#processOf(event)
    files.forEach(({ path: shown }, i) => {
      // A name that is not made yet, or not any more, is the same file.
      const path = shown.replace(/ \(deleted\)$/, '')
      if (path === '') return
      let use = used.files.get(path)
      if (use === undefined) used.files.set(path, (use = newUse(path)))
      count(use, event, i, label, details.at(-1) ?? '')
    })
  }

  #processOf({ process, parent }: HookEvent): ProcessUse {
    const known = this.processes.get(process.pid)
    const used = known ?? { process, parent: parent?.pid ?? 0, files: new Map() }
    if (known === undefined) this.processes.set(process.pid, used)
    // Counted calls of the image before an exec may come after those of the image after it.
    if (later(process, used.process)) used.process = process
    return used
  }
}

function later({ startTime: a }: Process, { startTime: b }: Process): boolean {
  return a.sec > b.sec || (a.sec === b.sec && a.nsec > b.nsec)
}

export const newUse = (path: string): FileUse => ({
  path,
  read: { calls: 0, bytes: 0 },
  write: { calls: 0, bytes: 0 },
  executed: false,
  deleted: false,
  others: new Set(),
})

const number = (argument: Argument | undefined): number =>
  argument?.kind === 'number' || argument?.kind === 'wide' ? Number(argument.value) : 0

/** `at`: the place of the file among the files of the call. */
function count(use: FileUse, event: HookEvent, at: number, label: string, last: string): void {
  const { hook, args, returned, aggregate } = event
  const calls = aggregate?.count ?? 1
  const bytes = aggregate?.bytes ?? number(returned)
  if (number(returned) < 0 && last !== '') {
    use.others.add(`${label} ${last}`)
    return
  }
  switch (hook.functionName) {
    case 'vfs_read':
      use.read.bytes += bytes
      return
    case 'vfs_write':
      use.write.bytes += bytes
      return
    case 'vfs_copy_file_range':
      ;(at === 0 ? use.read : use.write).bytes += bytes
      return
    case 'security_file_permission':
      if (number(args[1]) & BITS.MAY_READ) use.read.calls += calls
      else use.write.calls += calls
      return
    case 'security_mmap_file':
      if (number(args[1]) & BITS.PROT_EXEC) use.executed = true
      if (number(args[1]) & BITS.PROT_READ) use.read.calls += calls
      if (number(args[1]) & BITS.PROT_WRITE && number(args[2]) & BITS.MAP_SHARED) use.write.calls += calls
      return
    case 'security_file_mprotect':
      // A program's loader protects its own pages.
      if (number(args[1]) & BITS.PROT_EXEC) use.executed = true
      return
    case 'security_bprm_check':
      use.executed = true
      return
    case 'vfs_unlink':
    case 'vfs_rmdir':
      use.deleted = true
      return
    default:
      // The old name of a renamed file is gone.
      if (label === 'rename' && at === 0) use.deleted = true
      use.others.add(label)
  }
}
