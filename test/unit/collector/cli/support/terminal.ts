/** Runs a command line and returns its output. */
import { ktrail } from '../../../../../collector/cli/ktrail.ts'

export interface Written {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export async function typed(args: readonly string[]): Promise<Written> {
  let [stdout, stderr] = ['', '']
  const code = await ktrail(args, {
    env: {},
    print: (text) => Promise.resolve(((stdout += text.toString()), true)),
    printError: (line) => void (stderr += `${line}\n`),
    nowMs: () => 0,
  })
  return { code, stdout, stderr }
}
