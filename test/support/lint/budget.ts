/**
 * Lines of the product that people write and read, by room, and the maximum of each (budget.json). `node test/support/lint/budget.ts` prints them.
 * A commit that raises a number has the reason in its body.
 */
import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { rowOf } from './rooms.ts'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const HOUSES = ['bpf', 'native', 'config', 'exporters', 'collector', 'deploy']
const KINDS = ['ts', 'c', 'h', 'cc', 'css', 'sh']
/** Made by a program. */
const GENERATED = ['collector/wire/wire.ts', /_pb\.d\.ts$/, /^bpf\/vmlinux\/vmlinux/, /\/(build|node_modules)\//]

export const BUDGET: Readonly<Record<string, number>> = JSON.parse(
  readFileSync(new URL('budget.json', import.meta.url), 'utf8'),
)

/** Lines by room; a folder beside the rooms counts with its house. */
export function linesByRoom(): Map<string, number> {
  const found = new Map<string, number>()
  const patterns = HOUSES.map((house) => `${house}/**/*.{${KINDS.join(',')}}`)
  for (const file of globSync(patterns, { cwd: ROOT })) {
    if (GENERATED.some((each) => (typeof each === 'string' ? file === each : each.test(file)))) continue
    const room = rowOf(file)?.room ?? file.split('/', 1)[0] ?? ''
    const lines = readFileSync(`${ROOT}/${file}`, 'utf8').split('\n').length - 1
    found.set(room, (found.get(room) ?? 0) + lines)
  }
  return new Map([...found].toSorted(([a], [b]) => a.localeCompare(b)))
}

if (import.meta.main) {
  const lines = linesByRoom()
  for (const [room, count] of lines) console.log(`${count} of ${BUDGET[room] ?? 0}`.padStart(14), room)
  console.log(String([...lines.values()].reduce((sum, count) => sum + count, 0)).padStart(14), 'all')
}
