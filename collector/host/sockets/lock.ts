/**
 * One agent per host: a second one would report everything twice, and report the first one's accesses. An agent that has attached its hooks may
 * ask the holder for its place:
 *
 *   successor: "take over PID"   holder detaches, delivers, releases the lock: "since NANOSECONDS", end   successor: takes the lock
 */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'
import { errnoOf } from '../../../config/base/unreadable.ts'
import { CollectorError } from '../../errors.ts'
import { answers, listenOnPath } from './unix-socket.ts'

/**
 * In a folder that only root can write to, so that no other user can take the lock; a unit or a container needs this one folder. A socket
 * instead of a pid file: the kernel releases it when its owner ends, also after kill -9.
 */
const PATH = '/run/ktrail/lock'
const REQUEST = /^take over (\d{1,10})\n$/
const ANSWER = /^since (\d{1,19})\n$/
const MOST_CHARACTERS = 64
const REQUEST_MS = 5_000
/** Longer than any grace of the holder that a service manager waits for. */
const HOLDER_MS = 150_000

/** Released when it is disposed of. */
export interface Lock extends Disposable {
  /** The boot time in nanoseconds from which the agent reports, because the earlier agent reports until then; undefined: there was none. */
  readonly since: bigint | undefined
  /** Resolves to the pid of an agent that asks for the place of this one. Before this call, such an agent is refused. */
  asked(): Promise<number>
  /** Told to that agent when the lock is released: the boot time in nanoseconds until which this one reports everything. */
  until: bigint
}

/** Takes the lock; rejects with CollectorError ALREADY_RUNNING. */
export function takeLock(path: string = PATH): Promise<Lock> {
  return take(path)
}

/**
 * Takes the lock. An agent that holds it is asked to stop first, and this resolves when it has released the lock. Rejects with CollectorError
 * ALREADY_RUNNING if the holder does not hand over.
 */
export async function takeOver(path: string = PATH, holderMs: number = HOLDER_MS): Promise<Lock> {
  const holder = connect(path)
  try {
    await once(holder, 'connect')
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'ECONNREFUSED' || errno === 'ENOENT') return takeLock(path)
    throw refused(`cannot take the lock ${path} (one agent per host): ${String(error)}`, error)
  }
  holder.write(`take over ${process.pid}\n`)
  const answer = ANSWER.exec(await lineOf(holder, holderMs))?.[1]
  holder.destroy()
  return take(path, answer === undefined ? undefined : BigInt(answer), 'the running ktrail agent does not hand over')
}

/** Whether an agent of this host holds the lock. */
export function isLocked(path: string = PATH): Promise<boolean> {
  return answers(path)
}

async function take(path: string, since?: bigint, busy = 'another ktrail agent runs on this host'): Promise<Lock> {
  let successor: Socket | undefined
  let onAsked: ((pid: number) => void) | undefined
  const server = createServer((socket) => {
    socket.on('error', () => {})
    void lineOf(socket, REQUEST_MS).then((text) => {
      const pid = REQUEST.exec(text)?.[1]
      if (pid === undefined || onAsked === undefined || successor !== undefined) socket.destroy()
      else {
        successor = socket
        onAsked(Number(pid))
      }
    })
  })
  const holder = await listenOnPath(server, path).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw refused(`cannot take the lock ${path} (one agent per host): ${why}`, cause)
  })
  if (holder === 'a program that listens') {
    throw refused(`${busy}: stop it first (systemctl stop ktrail, or see \`pgrep -af ktrail\`)`)
  }
  if (holder !== undefined) {
    throw refused(`cannot take the lock ${path} (one agent per host): the path is used by ${holder}; remove it`)
  }
  server.unref()
  const lock: Lock = {
    since,
    until: 0n,
    asked: () => new Promise((resolve) => (onAsked = resolve)),
    [Symbol.dispose]: () => {
      server.close()
      successor?.end(lock.until === 0n ? '' : `since ${lock.until}\n`)
    },
  }
  return lock
}

/** The first line of the other side, or what it wrote before it left; '' if neither comes in this time. A long line is cut. */
async function lineOf(socket: Socket, ms: number): Promise<string> {
  let text = ''
  const timer = setTimeout(() => socket.destroy(), ms)
  socket.setEncoding('latin1')
  try {
    for await (const part of socket.iterator({ destroyOnReturn: false })) {
      text += part
      if (text.includes('\n') || text.length > MOST_CHARACTERS) break
    }
  } catch {
    return ''
  } finally {
    clearTimeout(timer)
  }
  return text
}

function refused(message: string, cause?: unknown): CollectorError {
  return new CollectorError('ALREADY_RUNNING', message, { cause })
}
