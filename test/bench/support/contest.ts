/** Ways of delivery, each in a process of its own, measured in turn: other load on the machine then affects all of them. */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { HEAP_FLAGS } from '../../../collector/host/heap.ts'
import { launchOf } from '../../support/launcher.ts'
import type { Cost, Message, Way } from './delivery-child.ts'

const CHILD = fileURLToPath(new URL('delivery-child.ts', import.meta.url))

/** Costs of the rounds, by the names of `ways`. Rejects if one of them fails or delivers less than it was given. */
export async function contest<Name extends string>(
  ways: ReadonlyMap<Name, Way>,
  { rounds, warmUp }: { readonly rounds: number; readonly warmUp: number },
): Promise<ReadonlyMap<Name, readonly Cost[]>> {
  const players = await Promise.all([...ways].map(async ([name, way]) => ({ name, player: await Player.start(way) })))
  try {
    const costs = new Map<Name, Cost[]>(players.map(({ name }) => [name, []]))
    for (let round = -warmUp; round < rounds; round++) {
      for (const { name, player } of players) {
        const cost = await player.round()
        if (round >= 0) costs.get(name)?.push(cost)
      }
    }
    return costs
  } finally {
    for (const { player } of players) player.end()
  }
}

/** One way in its process. */
class Player {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  static async start(way: Way): Promise<Player> {
    const { flags, env } = launchOf()
    const child = fork(CHILD, [JSON.stringify(way)], {
      execArgv: [...flags, ...HEAP_FLAGS],
      env: { ...env, ...process.env },
    })
    const player = new Player(child)
    await player.#hear()
    return player
  }

  async round(): Promise<Cost> {
    this.#child.send('round')
    const message = await this.#hear()
    if (message.is !== 'cost') throw new Error(`expected the cost of a round, got "${message.is}"`)
    return message.cost
  }

  end(): void {
    if (this.#child.connected) this.#child.disconnect()
  }

  async #hear(): Promise<Message> {
    const over = new AbortController()
    const ended = once(this.#child, 'exit', { signal: over.signal }).then(([code]) => {
      throw new Error(`a way of delivery ended with code ${code}: see its output above`)
    })
    try {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by delivery-child.ts
      const [message] = (await Promise.race([once(this.#child, 'message', { signal: over.signal }), ended])) as [
        Message,
      ]
      return message
    } finally {
      ended.catch(() => {})
      over.abort()
    }
  }
}
