/** Checks whether the sinks and folders of a config can be used; sends no events. */
import type { EffectiveExporter } from '../config/agent/effective.ts'
import { logsAddress } from '../config/agent/exporters/otel.ts'
import type { Config } from '../config/agent/schema.ts'
import type { ExportersContext } from './sinks/context.ts'
import { ExportError, errnoOf, textOf } from './contract/errors.ts'
import { Numberings } from './contract/numbering.ts'
import { systemClock } from '../config/base/time/clock.ts'
import { waitAtMost, within } from '../config/base/time/deadline.ts'
import { probeFolders, unusableFolders } from './probe-folders.ts'
import type { Probed } from './probe-folders.ts'
import { makeRoute } from './start.ts'
import type { Made } from './start.ts'

/** Texts of sinks, such as the names in a certificate, have no other limit. */
const MOST_CHARACTERS = 500
const STOP_MS = 1000

/**
 * Probes all sinks and folders at once, each sink for at most `timeoutMs`. Rejects with ExportError EXPORTER_REFUSED, before any is probed, if an exporter
 * cannot be made from its config.
 */
export async function probeExporters(
  exporters: Config['exporters'],
  context: ExportersContext,
  timeoutMs: number,
): Promise<Probed[]> {
  const made = await makeRoutes(exporters, context)
  const [sinks, folders] = await Promise.all([
    Promise.all(made.map(async ([name, route]) => ({ name, ...(await probed(route, timeoutMs)) }))),
    probeFolders(made.map(([name, { config }]) => [name, config])),
  ])
  return [...sinks, ...folders].map(({ name, state, text }) => ({
    name,
    state,
    text: text.length <= MOST_CHARACTERS ? text : `${text.slice(0, MOST_CHARACTERS)}…`,
  }))
}

/**
 * Tries what can be known before the exporters are opened: whether they can be made, and their files and folders written to. Another agent may have
 * them open. Rejects with ExportError.
 */
export async function checkExporters(exporters: Config['exporters'], context: ExportersContext): Promise<void> {
  const made = await makeRoutes(exporters, context)
  const files = made.filter(([, { config }]) => config.type === 'file')
  const found = await Promise.all(files.map(async ([name, route]) => ({ name, ...(await probed(route, STOP_MS)) })))
  const unusable = await unusableFolders(made.map(([name, { config }]) => [name, config]))
  const failed = [...found, ...unusable].find(({ state }) => state === 'failed')
  if (failed !== undefined) throw new ExportError('UNUSABLE', `exporters.${failed.name}: ${failed.text}`)
}

function makeRoutes(
  exporters: Config['exporters'],
  context: ExportersContext,
): Promise<Array<readonly [string, Made]>> {
  const numberings = new Numberings(context.epoch)
  return Promise.all(
    Object.entries(exporters).map(
      async ([name, config]) => [name, await makeRoute(name, config, context, numberings.of(name))] as const,
    ),
  )
}

async function probed({ config, sink: { exporter } }: Made, timeoutMs: number): Promise<Omit<Probed, 'name'>> {
  if (exporter.probe === undefined) {
    return { state: 'unknown', text: `the type ${exporter.type} does not support probes` }
  }
  const over = new AbortController()
  const cancel = systemClock.after(timeoutMs, () => over.abort())
  try {
    const found = await within(exporter.probe(over.signal), over.signal)
    if (found !== undefined) return { state: 'ok', text: found }
    const text =
      `no answer${addressOf(config)} within ${timeoutMs / 1000} s: check the address, the protocol (TLS or not), ` +
      'and firewalls'
    return { state: 'failed', text }
  } catch (error) {
    return { state: 'failed', text: [textOf(error), ...nextStep(error)].join('; ') }
  } finally {
    cancel()
    await waitAtMost(exporter.stop(), STOP_MS, systemClock).catch(() => undefined)
  }
}

/** Without user, password and query. */
function addressOf(config: EffectiveExporter): string {
  if (config.type === 'kafka') return ` from ${config.brokers.join(', ')}`
  if (config.type !== 'otlp') return ''
  const { origin, pathname } = new URL(logsAddress(config))
  return ` from ${origin}${pathname}`
}

const NEXT_STEPS: ReadonlyArray<readonly [codes: RegExp, next: string]> = [
  [/^ECONNREFUSED$/, 'nothing listens there: start the sink, or correct the address'],
  [/^(?:ENOTFOUND|EAI_AGAIN)$/, 'the name has no address in DNS: correct it, or check /etc/resolv.conf'],
  [/^(?:EHOSTUNREACH|ENETUNREACH|ETIMEDOUT)$/, 'no route to the address: check routes and firewalls'],
  [/^ECONNRESET$/, 'the sink closed the connection: check whether it expects TLS, and check its log'],
  [/^ERR_TLS_CERT_ALTNAME_INVALID$/, 'use a name in its certificate, or set tls.server_name to one'],
  [/^CERT_(?:HAS_EXPIRED|NOT_YET_VALID)$/, 'renew its certificate, or set the clock right'],
  [
    /^(?:UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|CERT_|INVALID_CA)/,
    'set tls.ca_file to the authority that signed its certificate',
  ],
  [/^ERR_SSL_\w*ALERT/, 'the sink refuses the client certificate or TLS version: set tls.cert_file and tls.key_file'],
  [/^(?:EPROTO|ERR_SSL_)/, 'no TLS on this port: correct the port, or remove tls'],
]

/** By the first known code of the error and its causes. */
function nextStep(error: unknown): string[] {
  for (let link = error, i = 0; link instanceof Error && i < 10; link = link.cause, i++) {
    const code = errnoOf(link)
    const known = NEXT_STEPS.find(([codes]) => codes.test(code))
    if (known !== undefined) return [known[1]]
  }
  return []
}
