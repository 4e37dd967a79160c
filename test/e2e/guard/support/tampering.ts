/** Maps and links of the agent as root sees them, and the agent's reports of tampering. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import type { TestAgent } from '../../support/agent.ts'

/** Time within which tampering makes a loss record, and the agent is not ready. */
export const SEEN_MS = 10_000

interface Listed {
  readonly id: number
  readonly name?: string
  readonly type?: string
  readonly frozen?: number
  readonly bytes_key?: number
  readonly bytes_value?: number
}

export const list = (what: 'map' | 'link' | 'prog'): Listed[] =>
  JSON.parse(execFileSync('bpftool', ['-j', what, 'list'], { encoding: 'utf8' }))

/** `name`: a section of data has its name behind a part of the object's name. */
export function mapOf(name: string): Listed {
  const found = list('map').find((map) => (name.startsWith('.') ? map.name?.endsWith(name) : map.name === name))
  assert.ok(found !== undefined, `no map ${name}`)
  return found
}

/** Bytes of zeros, as bpftool takes them. */
export const zeros = (count = 0): string[] => ['hex', ...Array.from({ length: count }, () => '00')]

/** Runs bpftool. Returns its output if it failed, else ''. */
export const bpftool = (...args: string[]): string => {
  const { status, stderr, stdout } = spawnSync('bpftool', args, { encoding: 'utf8' })
  return status === 0 ? '' : `${stdout}${stderr}`
}

/** Waits until /readyz answers 503 with this text; returns the seconds that it took. */
export async function unready(agent: TestAgent, text: RegExp): Promise<number> {
  const from = performance.now()
  await agent.until(
    `503 with ${text}`,
    async () => {
      const answer = await agent.get('/readyz')
      return answer.status === 503 && text.test(await answer.text())
    },
    SEEN_MS,
  )
  return (performance.now() - from) / 1000
}

export const found = async (agent: TestAgent, kind: string): Promise<[now: number, counted: number]> => {
  const metrics = await agent.metrics()
  const counted = metrics.sum('ktrail_kernel_lost_events_total', { reason: kind })
  return [metrics.sum('ktrail_tampering_findings', { kind }), counted]
}
