/** `ktrail top`. */
import { setTimeout } from 'node:timers/promises'
import { isatty } from 'node:tty'
import { wantsColor } from '../../../exporters/index.ts'
import type { Arguments, Command, Terminal } from '../command.ts'
import { clientOf } from '../server.ts'
import { PageError, awaitStatus, readStatus } from '../status/page.ts'
import type { PageSource, StatusPage } from '../status/page.ts'
import { pageSourceOf } from '../status/source.ts'
import { durationOf } from '../table/time.ts'
import { HotEvents } from './hot.ts'
import { afterKey } from './keys.ts'
import { Screen } from './screen.ts'
import { FIRST_CHOICE, plainText, screenLines } from './view.ts'
import type { Seen } from './view.ts'

/** The agent makes a page a second. */
const LATE_MS = 50
/** A text has no live events if the agent accepts no reader in this time. */
const LONGEST_MS = 5_000

export const topCommand: Command = async (given, terminal) => {
  const tickMs = durationOf(given, 'interval', '1s') + LATE_MS
  const source = await pageSourceOf(given, terminal)
  // Fails here if no agent is running.
  const { page } = await awaitStatus(source, terminal)
  using client = await clientOf(given)
  const hot = new HotEvents()
  const reads = new Promise<void>((resolve) => void hot.read(client, resolve).then(resolve))
  const watch = new Watch(source, hot, page, tickMs)
  const shows = isatty(0) && isatty(1) && !given.flag('once')
  // A text has the events of a whole second.
  if (!shows) await Promise.race([reads, setTimeout(LONGEST_MS, undefined, { ref: false })])
  // The client is open until it ends.
  return await (shows ? live(watch, terminal) : plain(watch, given, terminal))
}

/** The shown data, `tickMs` later at each `next`. */
class Watch {
  readonly tickMs: number
  readonly #source: PageSource
  readonly #hot: HotEvents
  #page: StatusPage
  #before: StatusPage | undefined
  #problem = ''

  constructor(source: PageSource, hot: HotEvents, page: StatusPage, tickMs: number) {
    this.#source = source
    this.tickMs = tickMs
    this.#hot = hot
    this.#page = page
  }

  /** Keeps the last page while the agent does not answer. */
  async next(): Promise<void> {
    this.#hot.decay(this.tickMs / 1000)
    try {
      const { page } = await readStatus(this.#source)
      this.#before = this.#page
      this.#page = page
      this.#problem = ''
    } catch (error) {
      if (!(error instanceof PageError)) throw error
      this.#problem = error.message
    }
  }

  get seen(): Seen {
    const { problem, lost, binaries, paths } = this.#hot
    const note = problem !== '' ? `no live events: ${problem}` : lost > 0 ? `${lost} events not counted here` : ''
    return {
      page: this.#page,
      before: this.#before,
      binaries: binaries.list(),
      paths: paths.list(),
      note: this.#problem === '' ? note : this.#problem,
    }
  }
}

/** One text a tick until the reader leaves; a single one with --once. */
async function plain(watch: Watch, given: Arguments, { print, columns }: Terminal): Promise<number> {
  for (;;) {
    await setTimeout(watch.tickMs)
    await watch.next()
    if (!(await print(`${plainText(watch.seen, columns)}${given.flag('once') ? '' : '\n'}`)) || given.flag('once'))
      return 0
  }
}

/** Runs until q, Ctrl-C or a signal. */
async function live(watch: Watch, { env }: Terminal): Promise<number> {
  const color = wantsColor('auto', true, env)
  let choice = FIRST_CHOICE
  let seen = watch.seen
  const quit = Promise.withResolvers<void>()
  const draw = (): void => screen.show(screenLines(seen, choice, screen.size), color)
  using screen = new Screen(
    (key) => {
      const next = afterKey(choice, key)
      if (next === 'quit') return quit.resolve()
      choice = next
      draw()
    },
    () => draw(),
  )
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, () => quit.resolve())
  draw()
  let asking = false
  const timer = setInterval(() => {
    if (asking) return
    asking = true
    // Also during a pause: rates are those of the last seconds.
    watch.next().then(
      () => {
        asking = false
        if (choice.paused) return
        seen = watch.seen
        draw()
      },
      (error: unknown) => quit.reject(error),
    )
  }, watch.tickMs)
  try {
    await quit.promise
    return 0
  } finally {
    clearInterval(timer)
  }
}
