/** Asks the user on a terminal for the values of options of `ktrail init`. Questions go to standard error. */
import { createInterface } from 'node:readline/promises'
import { resolve } from 'node:path'
import { inLibrary } from '../../../config/base/paths.ts'
import { oneLine } from '../../../config/base/quoting.ts'
import { DEFAULT_TOPIC } from './text.ts'
import type { FirstConfig } from './text.ts'

/** Each question, with the answer to an empty line; '' leaves the sink out. */
const SINKS = [
  ['file', 'File for events', '/var/log/ktrail/events.jsonl'],
  ['loki', 'URL of Grafana Loki, such as http://loki:3100', ''],
  ['otlp', 'URL of an OTLP sink, such as http://collector:4318', ''],
  ['kafka', 'Kafka brokers, such as kafka-1:9092,kafka-2:9092', ''],
] as const

/**
 * `bundles`: those of the library, to offer. `problemsOf` checks the answers so far; a question whose answer adds a problem is repeated. Resolves
 * to undefined if the input ends (Ctrl-D, Ctrl-C) before all are answered.
 */
export async function askFor(
  policies: string,
  bundles: readonly string[],
  problemsOf: (wanted: FirstConfig) => Promise<string>,
): Promise<FirstConfig | undefined> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const ended = new Promise<undefined>((done) => terminal.once('close', () => done(undefined)))
  let wanted: FirstConfig = { policies }
  try {
    const put = async (
      question: string,
      standard: string,
      change: (answer: string | undefined) => Partial<FirstConfig>,
      isPath = false,
    ): Promise<boolean> => {
      for (;;) {
        const asked = terminal.question(`${question} [${standard === '' ? '- for none' : `${standard}, - for none`}]: `)
        const given = await Promise.race([asked.catch(() => undefined), ended])
        if (given === undefined) return false
        const typed = given.trim() === '' ? standard : given.trim()
        const answer = typed === '' || typed === '-' ? undefined : typed
        const next = { ...wanted, ...change(answer) }
        const problems =
          isPath && answer !== undefined && !looksLikePath(answer) ? noPath(answer) : await problemsOf(next)
        if (problems === '') {
          wanted = next
          return true
        }
        process.stderr.write(`${problems.trimEnd().split('\n').map(oneLine).join('\n')}\n`)
      }
    }
    process.stderr.write(`Bundles of ready-made policies: ${bundles.join(', ')}\n`)
    const first = 'Policies (library:BUNDLE, file or folder)'
    if (!(await put(first, policies, (answer) => ({ policies: policiesOf(answer) }), true))) return undefined
    for (const [key, question, standard] of SINKS) {
      const change = (answer: string | undefined): Partial<FirstConfig> => ({
        [key]: key === 'file' ? pathOf(answer) : answer,
      })
      if (!(await put(question, standard, change, key === 'file'))) return undefined
    }
    if (wanted.kafka !== undefined && !(await put('Topic', DEFAULT_TOPIC, (topic) => ({ topic })))) return undefined
    return wanted
  } finally {
    terminal.close()
  }
}

/** The absolute path; undefined for `-`, which means none. */
export const pathOf = (answer: string | undefined): string | undefined =>
  answer === undefined || answer === '-' ? undefined : resolve(answer)

export const policiesOf = (answer: string | undefined): string | undefined =>
  answer !== undefined && inLibrary(answer) ? answer : pathOf(answer)

/** A word such as yes, and an address, are most likely no names of files. */
const looksLikePath = (answer: string): boolean => inLibrary(answer) || (/[./]/.test(answer) && !answer.includes('://'))

const noPath = (answer: string): string =>
  `expected a path such as /var/log/ktrail/events.jsonl, or - for none, got ${JSON.stringify(answer)}`
