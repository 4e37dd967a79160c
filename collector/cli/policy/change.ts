/** `ktrail policy delete`, `enable` and `disable`. */
import { FineGuidanceSensors } from '../../proto/tetragon/sensors_pb.js'
import type { Command } from '../command.ts'
import { changeCommand } from './named.ts'

const { method } = FineGuidanceSensors

export const deleteCommand: Command = changeCommand(
  (client, policy) => client.call(method.deleteTracingPolicy, policy),
  'deleted',
)
export const enableCommand: Command = changeCommand(
  (client, policy) => client.call(method.enableTracingPolicy, policy),
  'enabled',
)
export const disableCommand: Command = changeCommand(
  (client, policy) => client.call(method.disableTracingPolicy, policy),
  'disabled',
)
