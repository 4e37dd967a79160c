import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { bootTime } from '../../native/index.ts'
import type { Event, Executed } from '../../exporters/contract/event.ts'
import type { Kernel } from '../kernel/port.ts'
import type { Normalizer } from './normalize.ts'
import type { ProcessFiles } from '../process/detail/process-files.ts'
import { scanProcfs } from '../process/procfs.ts'
import type { ExecutedFacts } from '../process/detail/executed.ts'
import type { Image } from '../process/image.ts'
import type { ProcessTable } from '../process/table.ts'

const NSEC = 1_000_000_000n

/** The start-up scan: fills both process tables and returns the events of running processes. */
export async function scanRunning(
  procfs: string,
  kernel: Kernel,
  table: ProcessTable,
  normalizer: Normalizer,
  executed: ExecutedFacts,
  files: ProcessFiles,
): Promise<Event[]> {
  const now = bootTime()
  const found = (image: Image, facts?: Executed): Event =>
    normalizer.exec(image, Number(now / NSEC), Number(now % NSEC), facts)
  const events = [found(table.kernel)]
  for (const process of await scanProcfs(procfs, files)) {
    // The hooks know it already: its record comes from the ring.
    if (!kernel.seedProcess(process.pid, process.startNs, process.parentPid)) continue
    const image = table.addScanned(process)
    // If it exited before it was entered, no exit record would remove it.
    if (!existsSync(join(procfs, String(process.pid)))) {
      kernel.forgetProcess(process.pid)
      table.exit(process.pid, 0, 0, performance.now())
    }
    if (!process.kernelThread) events.push(found(image, await executed.ofRunning(files, process, image.flags)))
  }
  kernel.seedImages()
  return events
}
