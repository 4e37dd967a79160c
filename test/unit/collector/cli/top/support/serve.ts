/** The pages and the API of an agent without a kernel, with events: `node serve.ts` prints their addresses and serves until it is killed. */
import { makeExec, makeKprobe } from '../../../../exporters/support/events.ts'
import { startPageAgent } from '../../../../../support/page/agent.ts'
import { Rig } from '../../../api/support/rig.ts'
import { enabledPolicies } from '../../../support/policies.ts'

const agent = await startPageAgent({
  exporters:
    '{archive: {type: file, path: FOLDER/x.jsonl, spool: {dir: FOLDER/spool}}, screen: {type: file, path: FOLDER/y}}',
  policies: enabledPolicies({ name: 'files', modes: ['fexit'] }, { name: 'secrets', modes: ['fexit', 'fexit'] }),
  losses: [{ hook: 'fd_install', reason: 'missed_run', count: 12 }],
})
const rig = await Rig.start()
let seq = 0
setInterval(() => {
  const events = [makeExec({ seq: seq++ }), makeKprobe({ seq: seq++ })]
  void agent.publish(events)
  rig.delivery.publish(events)
}, 20)
process.stdout.write(`${JSON.stringify({ http: new URL(agent.url).host, server: `unix://${rig.path}` })}\n`)
