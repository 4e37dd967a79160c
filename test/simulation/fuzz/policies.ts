/**
 * Policies with any mistakes, through the parser: it returns a policy or problems with a place and a sentence, never throws, and ends in time. The
 * same seed gives the same text.
 */
import { readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'
import { parsePolicy } from '../../../config/policy/parse.ts'
import { Seeded } from '../spool/random.ts'

/** A limit far above the time of any policy: the parser bounds its input. */
const PARSE_MS = 5_000
const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const FOLDERS = [
  'config/policies',
  'test/fixtures/policies/good',
  'test/fixtures/policies/features',
  'test/fixtures/policies/bad',
]
export const CORPUS: readonly string[] = FOLDERS.flatMap((folder) =>
  readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => readFileSync(join(ROOT, folder, name), 'utf8')),
)
export const TOKENS: readonly string[] = [
  ...'{ } [ ] : - , " \' # & * ! | > ? % @ ` ~ \n \t \0 \ufeff \u2028 \ud800 << null true 0x 0b1 -1 1e9 1:2 99999999999999999999'.split(
    ' ',
  ),
  ...'kprobes: args: index: type: selectors: matchArgs: values: operator: list:x macro !!binary !!set &a *a __proto__ constructor'.split(
    ' ',
  ),
  ...'data: source: current_task pt_regs rdi x0 resolve: a.b[0] matchData: matchReturnArgs: matchNamespaceChanges: matchCapabilityChanges: CAP_BPF host_ns'.split(
    ' ',
  ),
  ...'FileType UnderDir SameFile sticky: SubString InRange char_buf sizeArgIndex: returnCopy: aggregate: window: fileDetails: rateLimit:'.split(
    ' ',
  ),
  ...'ktrail.dev/v1alpha1 followChildren: isNamespacePID: matchActions: Override argError: Signal argSig: 24h'.split(
    ' ',
  ),
  '  ',
  '\n    ',
  '[[[[[[[[[[[[[[[[',
  '{a: {a: {a: {a: ',
]

/** One text. Returns the outcome. */
export async function fuzzPolicies(seed: number): Promise<{ loaded: number; problems: number }> {
  const random = new Seeded(seed)
  let text = random.pick(CORPUS) ?? ''
  for (let i = 1 + random.int(6); i > 0; i--) text = changed(text, random)
  return checkPolicy(text)
}

/** Parses a text, and checks its result. */
export function checkPolicy(text: string): { loaded: number; problems: number } {
  const started = process.threadCpuUsage()
  const result = parsePolicy(text, 'p.yaml')
  const { user, system } = process.threadCpuUsage(started)
  const took = (user + system) / 1000
  if (took > PARSE_MS) throw new Error(`${Math.round(took)} ms for ${text.length} characters: ${JSON.stringify(text)}`)
  if (!('problems' in result)) return { loaded: 1, problems: 0 }
  if (result.problems.length === 0) throw new Error(`refused without a problem: ${JSON.stringify(text)}`)
  for (const { line, col, message } of result.problems) {
    if (line < 1 || col < 1 || message === '') throw new Error(`${line}:${col} "${message}" of ${JSON.stringify(text)}`)
  }
  return { loaded: 0, problems: result.problems.length }
}

function changed(text: string, random: Seeded): string {
  const at = random.int(text.length + 1)
  const to = Math.min(text.length, at + random.int(random.chance(0.1) ? 400 : 12))
  const [before, part, after] = [text.slice(0, at), text.slice(at, to), text.slice(to)]
  switch (random.int(6)) {
    case 0:
      return before + after
    case 1:
      return before + part + part + after
    case 2:
      return before + String.fromCharCode(random.int(random.chance(0.5) ? 128 : 0x1_0000)) + after
    case 3: {
      const other = random.pick(CORPUS) ?? ''
      const from = random.int(other.length + 1)
      return before + other.slice(from, from + random.int(200)) + after
    }
    default:
      return before + (random.pick(TOKENS) ?? '') + part + after
  }
}
