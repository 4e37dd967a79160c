/** Requests `/status` from a running agent, and declares the parts that commands read. */
import { setTimeout } from 'node:timers/promises'
import * as z from 'zod'
import { answerTo, bodyOf } from '../../../config/base/answers.ts'
import { http } from '../../../config/base/http.ts'
import { formatAddress } from '../../../config/base/addresses.ts'
import type { Address } from '../../../config/base/addresses.ts'
import { errnoOf } from '../../../config/base/unreadable.ts'
import type { Terminal } from '../command.ts'

const ANSWER_MS = 5_000
/** A busy agent may need longer than one answer may take. */
const TRIES = 4

const counts = z.record(z.string(), z.number())
const statusSchema = z.object({
  version: z.string(),
  kernel: z.string(),
  node_name: z.string(),
  /** Missing in earlier versions. */
  pid: z.number().optional(),
  ready: z.boolean(),
  readiness: z.array(z.string()),
  started: z.iso.datetime(),
  uptime_seconds: z.number(),
  resident_bytes: z.number(),
  config: z.object({
    hash: z.string(),
    files: z.array(z.string()),
    since: z.iso.datetime(),
    reloads: counts,
    last_refused: z.object({ time: z.iso.datetime(), reason: z.string() }).optional(),
  }),
  policies: z.array(
    z.object({
      name: z.string(),
      state: z.string(),
      error: z.string().optional(),
      hooks: z.number(),
      lacking: z.array(z.string()),
      limited: z.array(z.string()),
      events: z.number(),
    }),
  ),
  events: z.array(z.object({ type: z.string(), policy: z.string(), count: z.number() })),
  lost: z.array(z.object({ hook: z.string(), reason: z.string(), count: z.number() })),
  exporters: z.array(
    z.object({
      name: z.string(),
      state: z.string(),
      last_error: z.string(),
      delivered: z.number(),
      rejected: counts,
      dropped: counts,
      queue_bytes: z.number(),
      queue_limit_bytes: z.number(),
      spool: z.object({ bytes: z.number() }).optional(),
    }),
  ),
})

export type StatusPage = z.infer<typeof statusSchema>

/** No agent answered, or another server did. */
export class PageError extends Error {
  override readonly name = 'PageError'
  readonly code = 'NO_STATUS'

  /** Whether an agent most likely runs there, and may answer later. */
  get isSlow(): boolean {
    return ['ABORT_ERR', 'ECONNRESET', 'ETIMEDOUT'].includes(errnoOf(this.cause))
  }
}

/** The address of the page, and the token for it. */
export interface PageSource {
  readonly address: Address
  readonly token: string | undefined
}

export interface Read {
  readonly text: string
  readonly page: StatusPage
}

/** `readStatus`, up to four times while a slow agent does not answer; the waits are reported. Throws PageError. */
export async function awaitStatus(
  source: PageSource,
  { printError }: Pick<Terminal, 'printError'>,
  answerMs = ANSWER_MS,
): Promise<Read> {
  for (let tries = 1; ; tries++) {
    try {
      return await readStatus(source, answerMs)
    } catch (error) {
      if (!(error instanceof PageError) || !error.isSlow) throw error
      if (tries === TRIES)
        throw new PageError(`${error.message}, ${TRIES} times: check its log`, { cause: error.cause })
      printError(`ktrail: cannot read the status, retrying: ${error.message}`)
      await setTimeout(answerMs / 5)
    }
  }
}

/** The page, as text and read. Throws PageError. */
export async function readStatus(source: PageSource, answerMs = ANSWER_MS): Promise<Read> {
  const where = formatAddress(source.address)
  const { status, text } = await get(source, answerMs).catch((error: unknown) => {
    throw new PageError(sentenceOf(error, where, answerMs), { cause: error })
  })
  if (status === 401) {
    throw new PageError(
      `the agent at ${where} requires the token of its server.token or server.metrics_token: give the file that contains it with --token-file`,
    )
  }
  const parsed = status === 200 ? statusSchema.safeParse(jsonOrUndefined(text)) : undefined
  if (parsed?.success === true) return { text, page: parsed.data }
  const what = parsed === undefined ? `status ${status}` : 'something else'
  throw new PageError(`expected the /status of this version of ktrail at ${where}, got ${what}`)
}

async function get({ address, token }: PageSource, answerMs: number): Promise<{ status: number; text: string }> {
  const to = 'path' in address ? { socketPath: address.path } : { host: address.host, port: address.port }
  const asked = http.request({
    ...to,
    path: '/status',
    headers: token === undefined ? {} : { Authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(answerMs),
    agent: false,
  })
  asked.end()
  const answer = await answerTo(asked)
  return { status: answer.statusCode ?? 0, text: String(await bodyOf(answer)) }
}

function sentenceOf(error: unknown, where: string, answerMs: number): string {
  const code = errnoOf(error)
  if (code === 'ENOENT' || code === 'ECONNREFUSED') {
    return `no agent listens on ${where}: start it with ktrail run, or give its server.http with --http`
  }
  if (code === 'EACCES') return `cannot connect to ${where}: permission denied; run this as the user of the agent`
  if (code === 'ABORT_ERR' || (error instanceof Error && error.name === 'TimeoutError')) {
    return `the agent at ${where} did not answer in ${answerMs / 1000} s`
  }
  return `the agent at ${where} did not answer: ${error instanceof Error ? error.message : String(error)}`
}

function jsonOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
