import type { GetEventsResponse } from '../../proto/tetragon/events_pb.js'
import type { Terminal } from '../command.ts'
import { plural } from '../format.ts'
import { lostIn } from './printer.ts'
import type { Printer } from './printer.ts'

/** Prints events; reports losses on standard error. */
export class Printing {
  readonly #printer: Pick<Printer, 'lineOf'>
  readonly #terminal: Terminal

  constructor(printer: Pick<Printer, 'lineOf'>, terminal: Terminal) {
    this.#printer = printer
    this.#terminal = terminal
  }

  /** False if the reader of the output left. */
  async all(messages: AsyncIterable<GetEventsResponse>): Promise<boolean> {
    for await (const message of messages) {
      const lost = lostIn(message)
      if (lost > 0n) this.#terminal.printError(`ktrail: ${plural(Number(lost), 'event')} lost here`)
      const line = this.#printer.lineOf(message)
      if (line !== undefined && !(await this.#terminal.print(line))) return false
    }
    return true
  }
}
