/** The text of a first config. */
import { stringify } from 'yaml'
import { ownFile } from '../../../config/base/own.ts'

/** Values of a first config. Paths, except names of the library, are absolute, so that the config means the same wherever the agent is started. */
export interface FirstConfig {
  /** Absent: none. */
  readonly policies?: string | undefined
  readonly file?: string | undefined
  readonly otlp?: string | undefined
  readonly loki?: string | undefined
  /** `host:port`, separated by commas. */
  readonly kafka?: string | undefined
  readonly topic?: string | undefined
}

export const DEFAULT_TOPIC = 'ktrail.events'

/** `name`: the file's name for the commands in its comments. Without any sink, events go to standard output. */
export function configText(wanted: FirstConfig, name: string): string {
  const { policies, file, otlp, loki, kafka, topic = DEFAULT_TOPIC } = wanted
  const parts: string[] = []
  const add = (about: string, exporter: string, keys: object, more = ''): void => {
    parts.push(`  # ${about}\n${indented(stringify({ [exporter]: keys }, { lineWidth: 0 }), 2)}${indented(more, 4)}`)
  }
  if (file !== undefined) {
    const rotate = { max_size: '64MiB', max_files: 5 }
    add('JSON lines in a rotated file.', 'archive', { type: 'file', path: file, rotate })
  }
  if (otlp !== undefined) {
    add(
      'The OpenTelemetry Collector, or another OTLP sink over HTTP.',
      'collector',
      { type: 'otlp', endpoint: otlp },
      HTTP,
    )
  }
  if (loki !== undefined) {
    const about = 'Grafana Loki. loki: true checks its limits before sending and keeps the order.'
    add(about, 'loki', { type: 'otlp', endpoint: lokiEndpoint(loki), loki: true }, HTTP)
  }
  if (kafka !== undefined) {
    const brokers = kafka.split(',').map((broker) => broker.trim())
    add('Kafka. The topic must exist.', 'bus', { type: 'kafka', brokers, topic }, KAFKA)
  }
  if (parts.length === 0) add('Lines for people, on standard output.', 'screen', { type: 'stdout', format: 'compact' })
  return `# yaml-language-server: $schema=${ownFile('config/schema.json')}
# A config of ktrail, written by ktrail init.
#
# Next:
#   ktrail check ${name}
#   ktrail check --probe ${name}    tests each sink, sends no event
#   sudo ktrail run --config ${name}
#   ktrail config print --effective --config ${name}    every key and its value

# Policy files, and folders of *.yaml files; they are watched while the agent runs. library:NAME is a policy or a bundle
# that comes with ktrail: ktrail policy library lists them.
${stringify({ policies: policies === undefined ? [] : [policies] })}
# Exporters, under names of your choice. Each has a queue of its own.
exporters:
${parts.join('\n')}`
}

const SPOOL = '# spool: { dir: /var/lib/ktrail/spool } # keeps events on disk while the sink is away\n'
const HTTP = `# header_files: { authorization: /run/secrets/token }\n${SPOOL}`
const KAFKA = `# tls: {}\n# sasl: { mechanism: scram-sha-512, username: ktrail, password_file: /run/secrets/kafka }\n${SPOOL}`

/** Loki takes OTLP below /otlp. */
function lokiEndpoint(url: string): string {
  return URL.canParse(url) && new URL(url).pathname === '/' ? `${url.replace(/\/$/, '')}/otlp` : url
}

function indented(text: string, by: number): string {
  return text.replaceAll(/^(?=.)/gm, ' '.repeat(by))
}
