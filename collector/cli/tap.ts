/** `ktrail tap`: the records that an exporter of a running agent is offered, as lines. */
import { linesOf } from '../../exporters/index.ts'
import type { Encoded } from '../../exporters/index.ts'
import { ClientError } from '../api/client.ts'
import { Exporters } from '../proto/ktrail/exporters_pb.js'
import type { TapResponse } from '../proto/ktrail/exporters_pb.js'
import { UsageError } from './command.ts'
import type { Command } from './command.ts'
import { plural } from '../../config/base/counts.ts'
import { clientOf } from './server.ts'

export const tapCommand: Command = async (given, { print, printError }) => {
  const [exporter, extra] = given.positionals
  if (exporter === undefined || extra !== undefined) throw new UsageError('tap: expected the name of one exporter')
  using client = await clientOf(given)
  for await (const message of client.stream(Exporters.method.tap, { exporter })) {
    if (message.lost > 0n) {
      const lost = plural(Number(message.lost), 'record')
      printError(`ktrail: ${lost} not shown, because this reader is too slow; ${exporter} got them`)
    }
    if (!(await print(linesOf(encodedOf(message))))) return 0
  }
  printError('ktrail: the agent has stopped')
  return 0
}

function encodedOf({ encoding, records: bytes, ends }: TapResponse): Encoded {
  const known = (['json', 'compact', 'otlp', 'otlp_json'] as const).find((each) => each === encoding)
  if (known === undefined) {
    throw new ClientError(
      'UNKNOWN',
      `the agent sends the encoding "${encoding}", which this ktrail does not know: use the agent's version of ktrail`,
      encoding,
    )
  }
  return { encoding: known, bytes, ends: Uint32Array.from(ends), count: ends.length, firstSeq: 0 }
}
