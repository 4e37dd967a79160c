/** Counts the hottest binaries and paths from the live events of an agent, in bounded memory. */
import type { ApiClient } from '../../api/client.ts'
import { ClientError } from '../../api/client.ts'
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
    const { event } = message
    this.lost += Number(lostIn(message))
    if (event.case !== 'processExec' && event.case !== 'processExit' && event.case !== 'processKprobe') return
    const binary = event.value.process?.binary ?? ''
    if (binary !== '') this.binaries.add(binary)
    if (event.case !== 'processKprobe') return
    for (const { arg } of event.value.args) {
      if ((arg.case === 'fileArg' || arg.case === 'pathArg') && arg.value.path !== '') this.paths.add(arg.value.path)
    }
  }

  decay(seconds: number): void {
    this.binaries.decay(seconds)
    this.paths.decay(seconds)
  }
}
