/** All commands, in the order in which they are listed. */
import { EVENTS, OCI_HOOK, POLICY, STATUS, TAP, TOP } from './agent.ts'
import { CHECK, CONFIG, INIT, RUN, VERSION, completionOf } from './host.ts'
import { AUDIT, SPOOL } from './sinks.ts'
import type { GroupSpec } from './spec.ts'

export const KTRAIL: GroupSpec = {
  summary: 'runs Tetragon-compatible tracing policies and ships what matched',
  commands: {
    run: RUN,
    check: CHECK,
    init: INIT,
    config: CONFIG,
    status: STATUS,
    top: TOP,
    events: EVENTS,
    tap: TAP,
    policy: POLICY,
    spool: SPOOL,
    audit: AUDIT,
    'oci-hook': OCI_HOOK,
    completion: completionOf(() => KTRAIL),
    version: VERSION,
  },
  notes: [
    "The default for --config is ktrail's own config/ktrail.yaml. The agent answers GET /livez, /readyz, /metrics, /status on server.http (127.0.0.1:2112). SIGUSR1 reopens log files, SIGHUP reloads the config, too; SIGTERM drains and stops.",
  ],
  exits: '0 done, 1 failed, 2 wrong usage, 78 wrong config or policy',
}
