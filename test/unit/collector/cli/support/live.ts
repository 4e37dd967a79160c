/**
 * An agent as `ktrail run` runs it, without a kernel: `node live.ts CONFIG`. The exporters are the config's; ten events are
 * offered before it logs "ready".
 */
import { live } from '../../../../../collector/cli/run.ts'
import { createLog } from '../../../../../collector/host/log.ts'
import { startFanOut } from '../../../../../exporters/start.ts'
import { configOrThrow, parseConfigFile } from '../../../../../config/agent/check.ts'
import { EncoderPool } from '../../../../../exporters/index.ts'
import { makeExec } from '../../../exporters/support/events.ts'

const configFile = process.argv[2] ?? ''
const { config } = configOrThrow(await parseConfigFile(configFile, {}))
const log = createLog(config.log)
const encoders = new EncoderPool('node')
const context = { nodeName: 'node', epoch: 'e', encoders, env: {}, log, configFile }

const code = await live(
  async (stop) => {
    log.info('starting')
    const fanout = await startFanOut(config.exporters, context, stop)
    const tick = setInterval(() => undefined, 1000)
    await fanout.publish(Array.from({ length: 10 }, (_, seq) => makeExec({ seq })))
    log.info('ready')
    return {
      failed: new Promise<never>(() => undefined),
      left: () => new Promise<never>(() => undefined),
      replaced: () => new Promise<never>(() => undefined),
      alive: () => true,
      stop: async () => {
        await fanout.stop(config.shutdown.grace)
        clearInterval(tick)
        return { droppedAtStop: fanout.senders.reduce((sum, sender) => sum + sender.accounting().dropped.shutdown, 0) }
      },
      hurry: () => void fanout.stop(0),
      reopen: async () => void (await fanout.reopen()),
      reload: () => Promise.resolve(undefined),
    }
  },
  log,
  async () => {},
)
process.exit(code)
