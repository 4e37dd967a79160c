/** ktrail with config/policies/optional/file-integrity.yaml, by name and by identity. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { TestAgent } from '../../e2e/support/agent.ts'
import { KTRAIL } from '../../e2e/support/faults.ts'
import { integrityPolicy } from '../../e2e/files/integrity.ts'
import { RawAgent } from '../../e2e/support/raw.ts'
import type { ArgumentRecord, Line } from '../../e2e/support/record.ts'
import { until } from '../../e2e/support/wait.ts'
import type { Report } from '../judge.ts'
import type { Tool } from './tool.ts'

/** Its policies take minutes to be loaded in an emulated guest. */
const READY_MS = 400_000
/** Functions of the policy that opens and reads call. */
const OPENS = new Set(['may_open', 'security_file_open', 'security_file_permission'])

const pathOf = (argument: ArgumentRecord): string | undefined =>
  (argument.file_arg ?? argument.path_arg ?? argument.linux_binprm_arg)?.path ?? argument.string_arg

/** The report of a record, as ktrail and Tetragon write them. */
export function reportOf({ process_kprobe: event }: Line): Report[] {
  const { pid, binary, uid } = event?.process ?? {}
  if (pid === undefined || binary === undefined || uid === undefined) return []
  const paths = (event?.args ?? []).flatMap((argument) => pathOf(argument) ?? [])
  return [{ pid, program: binary, uid, paths, isWatched: true }]
}

const ktrail = (how: string, operator: string, slash: string): Tool => ({
  name: `ktrail by ${how}`,
  settings: `\`config/policies/optional/file-integrity.yaml\` with \`operator: ${operator}\`, \`values: ["WATCHED${slash}"]\``,
  async start({ watched, fewHooks }) {
    const isHooked = fewHooks && ((call: string): boolean => OPENS.has(call))
    const policies = { 'watched.yaml': integrityPolicy('watched', operator, [`${watched}${slash}`], isHooked) }
    const agent = await TestAgent.start({ policies, readyMs: READY_MS, archive: { envelope: true } })
    let next: RawAgent | undefined
    return {
      async reports() {
        if (next === undefined) await agent.settled()
        return agent.lines().flatMap(reportOf)
      },
      async killed(gap) {
        await agent.settled()
        await agent.kill()
        gap()
        const begun = (next = new RawAgent(join(agent.folder, 'config.yaml')))
        const isReady = (): Promise<boolean> =>
          fetch(`${begun.url}/readyz`).then(
            ({ ok }) => ok,
            () => false,
          )
        await until('the next agent', isReady, { ms: READY_MS, more: () => begun.stderr })
        return {
          again: 'systemd (`Restart=always`)',
          says() {
            const { stdout } = spawnSync(KTRAIL, ['audit', join(agent.folder, 'events.jsonl')], { encoding: 'utf8' })
            const [verdict] = /INCOMPLETE|CONTRADICTORY|no unreported loss/.exec(stdout) ?? ['no verdict']
            const [end] = /no stop: later events are unknown/.exec(stdout) ?? ['nothing']
            return `\`ktrail audit\`: ${verdict}; ${end}`
          },
        }
      },
      async [Symbol.asyncDispose]() {
        await next?.[Symbol.asyncDispose]()
        await agent[Symbol.asyncDispose]()
      },
    }
  },
})

export const BY_NAME: Tool = ktrail('name', 'Prefix', '/')
export const BY_IDENTITY: Tool = ktrail('identity', 'UnderDir', '')
