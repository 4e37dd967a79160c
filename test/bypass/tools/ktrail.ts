/** ktrail with config/policies/optional/file-integrity.yaml, by name and by identity. */
import { TestAgent } from '../../e2e/support/agent.ts'
import { integrityPolicy } from '../../e2e/files/integrity.ts'
import type { ArgumentRecord } from '../../e2e/support/record.ts'
import type { Report } from '../judge.ts'
import type { Tool } from './tool.ts'

const pathOf = (argument: ArgumentRecord): string | undefined =>
  (argument.file_arg ?? argument.path_arg ?? argument.linux_binprm_arg)?.path ?? argument.string_arg

const ktrail = (how: string, operator: string, slash: string): Tool => ({
  name: `ktrail by ${how}`,
  settings: `\`config/policies/optional/file-integrity.yaml\` with \`operator: ${operator}\`, \`values: ["WATCHED${slash}"]\``,
  async start({ watched }) {
    const policies = { 'watched.yaml': integrityPolicy('watched', operator, [`${watched}${slash}`]) }
    const agent = await TestAgent.start({ policies, readyMs: 400_000 })
    return {
      async reports() {
        await agent.settled()
        return agent.lines().flatMap(({ process_kprobe: event }): Report[] => {
          const { pid, binary, uid } = event?.process ?? {}
          if (pid === undefined || binary === undefined || uid === undefined) return []
          const paths = (event?.args ?? []).flatMap((argument) => pathOf(argument) ?? [])
          return [{ pid, program: binary, uid, paths, isWatched: true }]
        })
      },
      [Symbol.asyncDispose]: () => agent[Symbol.asyncDispose](),
    }
  },
})

export const BY_NAME: Tool = ktrail('name', 'Prefix', '/')
export const BY_IDENTITY: Tool = ktrail('identity', 'UnderDir', '')
