/**
 * One agent per host: a second one would report everything twice, and report the first one's accesses. An agent that has attached its hooks may
 * ask the holder for its place. The holder watches until the successor has opened its exporters:
 *
 *   successor: "take over PID"        holder: delivers, closes its exporters, still watches: "since NANOSECONDS"
 *   successor: opens them: "ready"    holder: detaches, releases the lock, end
 *   successor: takes the lock
 *
 * Without "ready" in time, the holder ends the connection and goes on. An agent that does not take over sends "go first PID". A temporary agent
 * releases the lock at either request, as soon as its command reads events; any other one refuses.
 */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { errnoOf } from '../../../config/base/unreadable.ts'
import { CollectorError } from '../../errors.ts'
import { answers, listenOnPath } from './unix-socket.ts'

/**
 * In a folder that only root can write to, so that no other user can take the lock; a unit or a container needs this one folder. A socket
 * instead of a pid file: the kernel releases it when its owner ends, also after kill -9.
 */
const PATH = '/run/ktrail/lock'
const REQUEST = /^(take over|go first) (\d{1,10})\n$/
const ANSWER = /^since (\d{1,19})\n$/
const READY = 'ready\n'
/** The holder does not hand over now. */
const NO = 'no\n'
const MOST_CHARACTERS = 64
const REQUEST_MS = 5_000
/** Time for a temporary agent to start, and for its command to read events. */
const TEMPORARY_MS = 30_000
/** Longer than any grace of the holder that a service manager waits for. */
const HOLDER_MS = 150_000
/** Much longer than a successor needs to take the released lock. */
const BECOMES_MS = 1_000

/** Released when it is disposed of. */
export interface Lock extends Disposable {
  /** The boot time in nanoseconds from which the agent reports, because the earlier agent reports until then; undefined: there was none. */
  readonly since: bigint | undefined
  /** Aborts if the earlier agent goes on, because this one did not confirm in time. */
  readonly lost: AbortSignal
  /** The exporters are open. Resolves when this agent is the only one; rejects with CollectorError ALREADY_RUNNING. */
  confirm(): Promise<void>
  /** Resolves to the next agent that asks for the place of this one. Before this call, such an agent is refused; of a temporary one, it waits. */
  asked(): Promise<Successor>
}

/** An agent that asks for the place of this one. */
export interface Successor {
  readonly pid: number
  /** `until`: this agent reports everything before this boot time. Resolves to whether the other one says in time that its exporters are open. */
  confirms(until: bigint, ms: number): Promise<boolean>
  refuse(): void
}

/** Takes the lock, also from a `temporary` agent, unless this is one. Rejects with CollectorError ALREADY_RUNNING. */
export async function takeLock(path: string = PATH, temporary: boolean = false): Promise<Lock> {
  const busy = 'another ktrail agent runs on this host'
  const taken = await take(path, busy, temporary).catch(async (error: unknown) => {
    if (temporary) throw error
    const holder = connect(path).on('error', () => {})
    holder.write(`go first ${process.pid}\n`)
    const word = await lineOf(holder, TEMPORARY_MS)
    holder.destroy()
    if (word === NO || !(await becomes('free', path))) throw error
    return take(path, busy)
  })
  return { ...taken, since: undefined, lost: new AbortController().signal, confirm: async () => {} }
}

/**
 * Asks the agent that holds the lock for its place; resolves when that one has closed its exporters, or has ended. Rejects with CollectorError
 * ALREADY_RUNNING if it does not hand over. `confirm` takes the lock.
 */
export async function takeOver(path: string = PATH, holderMs: number = HOLDER_MS): Promise<Lock> {
  const holder = connect(path)
  try {
    await once(holder, 'connect')
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'ECONNREFUSED' || errno === 'ENOENT')
      return (await becomes('locked', path)) ? takeOver(path, holderMs) : takeLock(path)
    throw refused(`cannot take the lock ${path} (one agent per host): ${String(error)}`, error)
  }
  holder.on('error', () => {})
  const freed = new Promise((resolve) => holder.once('close', resolve)).then(() => becomes('free', path))
  holder.write(`take over ${process.pid}\n`)
  const word = await lineOf(holder, holderMs)
  const answer = ANSWER.exec(word)?.[1]
  holder.resume()
  const busy = 'the running ktrail agent does not hand over'
  if (word === NO) throw busyError(busy)
  const lost = new AbortController()
  if (answer === undefined && (await freed) && (await becomes('locked', path))) return takeOver(path, holderMs)
  let taken = answer === undefined ? await take(path, busy) : undefined
  let confirmed = taken !== undefined
  void freed.then((isFree) => {
    if (confirmed || isFree) return
    lost.abort(refused('the running ktrail agent goes on: the exporters of this one were not open in time'))
  })
  return {
    since: answer === undefined ? undefined : BigInt(answer),
    lost: lost.signal,
    confirm: async () => {
      confirmed = true
      if (taken !== undefined) return
      holder.write(READY)
      const timer = setTimeout(() => holder.destroy(), holderMs)
      await freed
      clearTimeout(timer)
      taken = await take(path, busy)
    },
    asked: () => taken?.asked() ?? Promise.reject(new Error('the lock is not taken')),
    [Symbol.dispose]: () => {
      confirmed = true
      holder.destroy()
      taken?.[Symbol.dispose]()
    },
  }
}

/** Whether an agent of this host holds the lock. */
export function isLocked(path: string = PATH): Promise<boolean> {
  return answers(path)
}

/**
 * Whether the lock gets this state within a second. The kernel closes the connections of a killed agent before its lock; a successor that was
 * faster than this one takes the lock a little after its release.
 */
async function becomes(state: 'locked' | 'free', path: string): Promise<boolean> {
  for (let ms = 0; ms < BECOMES_MS; ms += 50) {
    // oxlint-disable-next-line no-await-in-loop -- waits
    if ((await isLocked(path)) === (state === 'locked')) return true
    // oxlint-disable-next-line no-await-in-loop -- waits
    await pause(50)
  }
  return false
}

/** `busy`: the error if another agent holds it. */
async function take(path: string, busy: string, temporary = false): Promise<Disposable & Pick<Lock, 'asked'>> {
  /** The connection of the agent that is to take over. */
  let current: Socket | undefined
  let onAsked: ((successor: Successor) => void) | undefined
  const first = Promise.withResolvers<Successor>()
  if (temporary) onAsked = first.resolve
  const server = createServer((socket) => {
    socket.on('error', () => {})
    void lineOf(socket, REQUEST_MS).then((text) => {
      const [, words, pid] = REQUEST.exec(text) ?? []
      if (pid === undefined) socket.destroy()
      else if (onAsked === undefined || current !== undefined || (words === 'go first' && !temporary)) socket.end(NO)
      else {
        current = socket.once('close', () => (current = undefined))
        onAsked(successorOf(socket, Number(pid)))
      }
    })
  })
  const holder = await listenOnPath(server, path).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw refused(`cannot take the lock ${path} (one agent per host): ${why}`, cause)
  })
  if (holder === 'a program that listens') {
    throw busyError(busy)
  }
  if (holder !== undefined) {
    throw refused(`cannot take the lock ${path} (one agent per host): the path is used by ${holder}; remove it`)
  }
  server.unref()
  return {
    asked: () => (temporary ? first.promise : new Promise((resolve) => (onAsked = resolve))),
    [Symbol.dispose]: () => {
      server.close()
      current?.end()
    },
  }
}

function successorOf(socket: Socket, pid: number): Successor {
  return {
    pid,
    confirms: async (until, ms) => {
      socket.write(`since ${until}\n`)
      const isReady = (await lineOf(socket, ms)) === READY
      if (!isReady) socket.destroy()
      return isReady
    },
    refuse: () => socket.destroy(),
  }
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

function busyError(busy: string): CollectorError {
  return refused(`${busy}: stop it first (systemctl stop ktrail, or see \`pgrep -af ktrail\`)`)
}

function refused(message: string, cause?: unknown): CollectorError {
  return new CollectorError('ALREADY_RUNNING', message, { cause })
}
