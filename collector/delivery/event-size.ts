/** About what held events weigh: an upper bound, cheap to tell. */
import type { Argument, Event, Process } from '../../exporters/contract/event.ts'

/** The objects of an event, of an argument and of a process, without their texts. */
const EVENT_BYTES = 250
const ARGUMENT_BYTES = 150
const PROCESS_BYTES = 700

/** Weighs the events of one queue, in their order. */
export class EventSizes {
  #last: Process | undefined

  /** Bytes that the event adds. Its process counts where the event before had another: it lives as long as the queue holds it. */
  of(event: Event): number {
    let bytes = EVENT_BYTES
    if (event.type === 'events_lost') return bytes
    if (event.process !== this.#last) bytes += processBytes(event.process)
    this.#last = event.process
    if (event.type !== 'process_kprobe') return bytes
    for (const argument of event.args) bytes += argumentBytes(argument)
    return event.returned === undefined ? bytes : bytes + argumentBytes(event.returned)
  }

  /** The next event counts with its process in any case: the one before is not in the queue. */
  forget(): void {
    this.#last = undefined
  }
}

function processBytes({ binary, arguments: argv, cwd }: Process): number {
  return PROCESS_BYTES + 2 * (binary.length + argv.length + cwd.length)
}

/** Whatever its kind: it is its texts that can be long. */
function argumentBytes(argument: Argument): number {
  let bytes = ARGUMENT_BYTES
  for (const value of Object.values(argument)) {
    if (typeof value === 'string') bytes += 2 * value.length
    else if (value instanceof Uint8Array) bytes += value.length
  }
  return bytes
}
