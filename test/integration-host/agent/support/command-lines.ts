/** Runs command lines in this process, one after the other, and prints their codes and output as JSON: `command-lines.ts '[["config", "print"], …]'`. */
import { ktrail } from '../../../../collector/cli/ktrail.ts'

const lines: readonly (readonly string[])[] = JSON.parse(process.argv[2] ?? '[]')
const results = []
for (const words of lines) {
  let [stdout, stderr] = ['', '']
  const code = await ktrail(words, {
    env: process.env,
    print: (text) => Promise.resolve(((stdout += text.toString()), true)),
    printError: (line) => void (stderr += `${line}\n`),
    nowMs: () => Date.now(),
  }).catch((error: unknown) => {
    stderr += error instanceof Error ? error.message : String(error)
    return 1
  })
  results.push({ code, stdout, stderr })
}
console.log(JSON.stringify(results))
process.exit()
