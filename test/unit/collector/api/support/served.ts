/** Program: the API of an agent on a port with TLS, and its /livez. Args: cert, key, ca. Answers each message with its measures. */
import { livez } from '../../../../../collector/telemetry/health.ts'
import { serve } from '../../../../../collector/telemetry/http.ts'
import { scanned } from '../../support/processes.ts'
import { Rig } from './rig.ts'

export interface Measures {
  readonly rss: number
  /** Open handles of sockets, those that listen included. */
  readonly sockets: number
  /** The longest turn of the event loop since the last message, by its CPU time: the machine has other things to do. */
  readonly heldMs: number
}

const [cert, key, ca] = process.argv.slice(2)
const rig = new Rig(`grpc: "127.0.0.1:0", tls: { cert_file: "${cert}", key_file: "${key}", ca_file: "${ca}" }`)
// So that answers of GetDebug are large.
for (let pid = 1; pid <= 1000; pid++) rig.processes.addScanned(scanned(pid, 0))
const api = await rig.api.serve()
const reading = { ended: false, held: false, silentMs: 0 }
const page = await serve({ host: '127.0.0.1', port: 0 }, { '/livez': () => livez(reading, []) }, () => {})
let before = process.threadCpuUsage()
let heldMs = 0
setInterval(() => {
  const { user, system } = process.threadCpuUsage(before)
  before = process.threadCpuUsage()
  heldMs = Math.max(heldMs, (user + system) / 1000)
}, 1)
process.on('message', (what) => {
  if (what === 'collected') for (let i = 0; i < 3; i++) globalThis.gc?.()
  const sockets = process.getActiveResourcesInfo().filter((each) => /^(TCPSocket|TLS)/.test(each)).length
  process.send?.({ rss: process.memoryUsage.rss(), sockets, heldMs } satisfies Measures)
  before = process.threadCpuUsage()
  heldMs = 0
})
process.on('disconnect', () => process.exit())
process.send?.({ api, livez: page.address })
