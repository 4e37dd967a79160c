/** Asks the user on a terminal for the values of a first config. Questions go to standard error. */
import { createInterface } from 'node:readline/promises'
import { resolve } from 'node:path'
import { inLibrary } from '../../../config/base/paths.ts'
import { oneLine } from '../../../config/base/quoting.ts'
import { DEFAULT_TOPIC, PASSWORD } from './text.ts'
import type { FirstConfig } from './text.ts'

interface Question {
  readonly key: keyof FirstConfig
  readonly text: string
  /** The answer to an empty line; absent: none. */
  readonly standard?: string
  readonly isPath?: boolean
  /** Whether earlier answers lead to the question; absent: always. */
  readonly if?: (wanted: FirstConfig) => boolean
}

const isTls = (url: string | undefined): boolean => url?.startsWith('https:') === true
const HEADER = 'File with the Authorization header'
const AUTHORITY = 'File with the authority of its certificate'

const QUESTIONS: readonly Question[] = [
  { key: 'policies', text: 'Policies (library:BUNDLE, file or folder)', isPath: true },
  { key: 'file', text: 'File for events', standard: '/var/log/ktrail/events.jsonl', isPath: true },
  { key: 'loki', text: 'URL of Grafana Loki, such as http://loki:3100' },
  { key: 'lokiTenant', text: '  Tenant', if: ({ loki }) => loki !== undefined },
  { key: 'lokiHeader', text: `  ${HEADER}`, isPath: true, if: ({ loki }) => loki !== undefined },
  { key: 'lokiAuthority', text: `  ${AUTHORITY}`, isPath: true, if: ({ loki }) => isTls(loki) },
  { key: 'otlp', text: 'URL of an OTLP sink, such as http://collector:4318' },
  { key: 'otlpHeader', text: `  ${HEADER}`, isPath: true, if: ({ otlp }) => otlp !== undefined },
  { key: 'otlpAuthority', text: `  ${AUTHORITY}`, isPath: true, if: ({ otlp }) => isTls(otlp) },
  { key: 'kafka', text: 'Kafka brokers, such as kafka-1:9092,kafka-2:9092' },
  { key: 'topic', text: '  Topic', standard: DEFAULT_TOPIC, if: ({ kafka }) => kafka !== undefined },
  {
    key: 'kafkaAuthority',
    text: '  File with the authority of the certificates, for TLS',
    isPath: true,
    if: ({ kafka }) => kafka !== undefined,
  },
  { key: 'kafkaUser', text: '  User (SCRAM-SHA-512)', if: ({ kafka }) => kafka !== undefined },
  {
    key: 'kafkaPassword',
    text: '  File with the password',
    standard: PASSWORD,
    isPath: true,
    if: ({ kafkaUser }) => kafkaUser !== undefined,
  },
  {
    key: 'spool',
    text: 'Folder that keeps events while a sink is away',
    standard: '/var/lib/ktrail/spool',
    isPath: true,
    if: ({ loki, otlp, kafka }) => [loki, otlp, kafka].some((sink) => sink !== undefined),
  },
]

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
    process.stderr.write(`Bundles of ready-made policies: ${bundles.join(', ')}\n`)
    for (const question of QUESTIONS) {
      if (question.if?.(wanted) === false) continue
      const { key, text, isPath = false, standard = key === 'policies' ? policies : '' } = question
      for (let problems = ' '; problems !== '';) {
        const asked = terminal.question(`${text} [${standard === '' ? '' : `${standard}, `}- for none]: `)
        const given = await Promise.race([asked.catch(() => undefined), ended])
        if (given === undefined) return undefined
        const typed = given.trim() === '' ? standard : given.trim()
        const answer = typed === '' || typed === '-' ? undefined : typed
        const next = { ...wanted, [key]: key === 'policies' ? policiesOf(answer) : isPath ? pathOf(answer) : answer }
        problems = isPath && answer !== undefined && !looksLikePath(answer) ? noPath(answer) : await problemsOf(next)
        if (problems === '') wanted = next
        else process.stderr.write(`${problems.trimEnd().split('\n').map(oneLine).join('\n')}\n`)
      }
    }
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
