/** SIGUSR1 every 10 ms for a started `ktrail`, as of a log rotator during a start. */
import { readFileSync, readlinkSync, readdirSync } from 'node:fs'
import { basename } from 'node:path'

const EVERY_MS = 10
/** Bit of SIGUSR1 in the masks of /proc/PID/status. */
const BIT = 1n << 9n

/** A file of a process; '' if the process has ended. */
function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

/** Where a link in /proc leads; '' if the process has ended. */
function target(link: string): string {
  try {
    return readlinkSync(link)
  } catch {
    return ''
  }
}

/**
 * Whether the signal can no longer end the process. The launcher ignores it from its first line on, Node then blocks it, and the agent handles it.
 * That another program blocks it proves nothing: systemd's executor blocks all signals until it becomes the launcher.
 */
function isPrepared(pid: number): boolean {
  const masks = read(`/proc/${pid}/status`).matchAll(/^Sig(Blk|Ign|Cgt):\t([0-9a-f]+)$/gm)
  const states = [...masks].filter(([, , mask]) => (BigInt(`0x${mask}`) & BIT) !== 0n).map(([, state]) => state)
  return states.some((state) => state !== 'Blk' || basename(target(`/proc/${pid}/exe`)) === 'node')
}

/** Sends the signal until it is disposed. */
export class Sigusr1 implements Disposable {
  /** Signals so far. */
  sent = 0
  readonly #timer: NodeJS.Timeout

  constructor(pid: number) {
    this.#timer = setInterval(() => {
      if (this.sent === 0 && !isPrepared(pid)) return
      try {
        process.kill(pid, 'SIGUSR1')
        this.sent++
      } catch {
        // It has ended: the test checks how.
      }
    }, EVERY_MS)
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}

/** Ports on which a process listens. Node's debugger has 9229. */
export function listeningPorts(pid: number): number[] {
  const descriptors = `/proc/${pid}/fd`
  const own = new Set(readdirSync(descriptors).map((fd) => target(`${descriptors}/${fd}`)))
  return ['tcp', 'tcp6'].flatMap((table) =>
    read(`/proc/${pid}/net/${table}`)
      .split('\n')
      .slice(1)
      .flatMap((line) => {
        const [, local = '', , state, , , , , , inode] = line.trim().split(/\s+/)
        const port = Number.parseInt(local.split(':')[1] ?? '', 16)
        return state === '0A' && own.has(`socket:[${inode}]`) ? [port] : []
      }),
  )
}
