/** Counts the hottest binaries and paths from the live events of an agent, in bounded memory. */
import { isHookEvent } from '../../../exporters/index.ts'
import type { ApiClient } from '../../api/client.ts'
import { ClientError } from '../../api/client.ts'
import { toEvent } from '../../api/events/to-event.ts'
import { lostIn } from '../events/printer.ts'
import type { GetEventsResponse } from '../../proto/tetragon/events_pb.js'
import { FineGuidanceSensors } from '../../proto/tetragon/sensors_pb.js'
import { Sketch } from './sketch.ts'

export class HotEvents {
  readonly binaries: Sketch = new Sketch()
  readonly paths: Sketch = new Sketch()
  /** Events that this reader lost, because it was too slow. */
  lost = 0
  /** The reason why no events come; '' while they do. */
  problem = ''

  /** Reads until the agent ends the stream or the client is closed. Never rejects for a failure of the agent. `opened`: called when it has accepted. */
  async read(client: ApiClient, opened: () => void): Promise<void> {
    try {
      // Whole events: to cut fields off would cost the agent more than to send them.
      for await (const message of client.stream(FineGuidanceSensors.method.getEvents, {}, opened)) this.add(message)
      this.problem = 'the agent has stopped'
    } catch (error) {
      if (!(error instanceof ClientError)) throw error
      this.problem = error.message
    }
  }

  add(message: GetEventsResponse): void {
    this.lost += Number(lostIn(message))
    const event = toEvent(message)
    if (event === undefined || !('process' in event)) return
    if (event.process.binary !== '') this.binaries.add(event.process.binary)
    if (!isHookEvent(event)) return
    for (const argument of event.args)
      if (argument.kind === 'file' && argument.path !== '') this.paths.add(argument.path)
  }

  decay(seconds: number): void {
    this.binaries.decay(seconds)
    this.paths.decay(seconds)
  }
}
