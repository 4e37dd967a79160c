/** Random steps in a tree (test/fixtures/e2e/tree.c): the accesses that its model expects, compared with the reported ones. */
import { execFileSync } from 'node:child_process'
import type { KprobeRecord } from '../support/record.ts'

export interface TreeRun {
  readonly pid: number
  /** Whether an access is reported, by its step; undefined: perhaps. */
  readonly wanted: ReadonlyMap<number, boolean | undefined>
}

const MEANING: Readonly<Record<string, boolean>> = { '0': false, '1': true }

export function runTree(program: string, watched: string, outside: string, steps: number, seed: number): TreeRun {
  const printed = execFileSync(program, [watched, outside, String(steps), String(seed)], {
    encoding: 'utf8',
    maxBuffer: 1 << 30,
  })
  const [pid = '', ...lines] = printed.trim().split('\n')
  const wanted = new Map<number, boolean | undefined>()
  for (const line of lines) {
    const [step = '', word = ''] = line.split(' ')
    wanted.set(Number(step), MEANING[word])
  }
  return { pid: Number(pid), wanted }
}

export interface TreeResult {
  /** Steps whose access should have been reported, and reported steps that should not. */
  readonly missed: readonly number[]
  readonly unwanted: readonly number[]
  /** Accesses of which the model is sure. */
  readonly sure: number
}

/** `records`: of the tree's process and one policy, on `vfs_truncate` with the size as second argument. */
export function compareTree({ wanted }: TreeRun, records: readonly KprobeRecord[]): TreeResult {
  const reported = new Set(
    records.filter(({ function_name: call }) => call === 'vfs_truncate').map(({ args }) => Number(args?.[1]?.long_arg)),
  )
  const all = [...wanted]
  const steps = (is: boolean): number[] =>
    all.filter(([step, want]) => want === is && reported.has(step) !== is).map(([step]) => step)
  return { missed: steps(true), unwanted: steps(false), sure: all.filter(([, want]) => want !== undefined).length }
}
