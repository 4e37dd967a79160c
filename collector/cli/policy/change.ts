/** `ktrail policy delete`, `enable` and `disable`. */
import { FineGuidanceSensors } from '../../proto/tetragon/sensors_pb.js'
import { UsageError } from '../command.ts'
import type { Command } from '../command.ts'
import { clientOf } from '../server.ts'
import { listed, theOne } from './named.ts'

const { deleteTracingPolicy, enableTracingPolicy, disableTracingPolicy } = FineGuidanceSensors.method

export const deleteCommand: Command = changeCommand(deleteTracingPolicy, 'deleted')
export const enableCommand: Command = changeCommand(enableTracingPolicy, 'enabled')
export const disableCommand: Command = changeCommand(disableTracingPolicy, 'disabled')

/** `done`: the change, for the message afterwards. */
function changeCommand(
  method: typeof deleteTracingPolicy | typeof enableTracingPolicy | typeof disableTracingPolicy,
  done: string,
): Command {
  return async (given, { printError }) => {
    const [name, extra] = given.positionals
    if (name === undefined || extra !== undefined) throw new UsageError('expected the name of one policy')
    using client = await clientOf(given)
    const { namespace, domain } = theOne(name, await listed(client, given), given)
    await client.call<typeof method.input, typeof method.output>(method, { name, namespace, domain })
    printError(`policy ${name} ${done}`)
    return 0
  }
}
