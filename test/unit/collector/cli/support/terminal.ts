/** Runs a command line and returns its output. */
import { ktrail } from '../../../../../collector/cli/ktrail.ts'

export interface Written {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** `heard`: called with each line for the person, at once. */
export async function typed(args: readonly string[], heard: (line: string) => void = () => {}): Promise<Written> {
  let [stdout, stderr] = ['', '']
  const code = await ktrail(args, {
    env: {},
    print: (text) => Promise.resolve(((stdout += text.toString()), true)),
    printError: (line) => {
      stderr += `${line}\n`
      heard(line)
    },
    nowMs: () => 0,
  })
  return { code, stdout, stderr }
}
