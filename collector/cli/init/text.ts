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
  readonly lokiTenant?: string | undefined
  /** Files with the header of the login. */
  readonly lokiHeader?: string | undefined
  readonly otlpHeader?: string | undefined
  /** Files with the authority of the certificate. */
  readonly lokiAuthority?: string | undefined
  readonly otlpAuthority?: string | undefined
  readonly kafkaAuthority?: string | undefined
  /** `host:port`, separated by commas. */
  readonly kafka?: string | undefined
  readonly topic?: string | undefined
  readonly kafkaUser?: string | undefined
  /** A file. */
  readonly kafkaPassword?: string | undefined
  /** Folder of the spools of all sinks but files. */
  readonly spool?: string | undefined
}

export const DEFAULT_TOPIC = 'ktrail.events'

/** `name`: the file's name for the commands in its comments. Without any sink, events go to standard output. */
export function configText(wanted: FirstConfig, name: string): string {
  const { policies, file, otlp, loki, kafka, topic = DEFAULT_TOPIC, spool, kafkaUser } = wanted
  const parts: string[] = []
  const add = (about: string, exporter: string, keys: object, more = ''): void => {
    parts.push(`  # ${about}\n${indented(stringify({ [exporter]: keys }, { lineWidth: 0 }), 2)}${indented(more, 4)}`)
  }
  /** The keys that were answered, and comments for the others. */
  const sink = (about: string, exporter: string, keys: object, optional: Optional): void => {
    const given = Object.fromEntries(Object.entries(optional).map(([key, [value]]) => [key, value]))
    const comments = Object.values(optional).map(([value, comment]) => (value === undefined ? comment : ''))
    add(about, exporter, { ...keys, ...given }, comments.join(''))
  }
  const kept = { spool: [spool && { dir: spool }, SPOOL] } as const
  if (file !== undefined) {
    const rotate = { max_size: '64MiB', max_files: 5 }
    add('JSON lines in a rotated file.', 'archive', { type: 'file', path: file, rotate })
  }
  if (otlp !== undefined) {
    const about = 'The OpenTelemetry Collector, or another OTLP sink over HTTP.'
    sink(
      about,
      'collector',
      { type: 'otlp', endpoint: otlp },
      {
        header_files: [fileAs('authorization', wanted.otlpHeader), HEADER],
        tls: [fileAs('ca_file', wanted.otlpAuthority), ''],
        ...kept,
      },
    )
  }
  if (loki !== undefined) {
    const about = 'Grafana Loki. loki: true checks its limits before sending and keeps the order.'
    sink(
      about,
      'loki',
      { type: 'otlp', endpoint: lokiEndpoint(loki), loki: true },
      {
        tenant: [wanted.lokiTenant, ''],
        header_files: [fileAs('authorization', wanted.lokiHeader), HEADER],
        tls: [fileAs('ca_file', wanted.lokiAuthority), ''],
        ...kept,
      },
    )
  }
  if (kafka !== undefined) {
    const brokers = kafka.split(',').map((broker) => broker.trim())
    // The user is checked before the password is known.
    const { kafkaPassword = 'kafkaPassword' in wanted ? undefined : PASSWORD } = wanted
    const login = { mechanism: 'scram-sha-512', username: kafkaUser, password_file: kafkaPassword }
    sink(
      'Kafka. The topic must exist.',
      'bus',
      { type: 'kafka', brokers, topic },
      {
        tls: [fileAs('ca_file', wanted.kafkaAuthority), '# tls: {}\n'],
        sasl: [kafkaUser && login, SASL],
        ...kept,
      },
    )
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
const HEADER = '# header_files: { authorization: /run/secrets/token }\n'
export const PASSWORD = '/run/secrets/kafka'
const SASL = `# sasl: { mechanism: scram-sha-512, username: ktrail, password_file: ${PASSWORD} }\n`

/** Keys with their values, and the comments without a value. */
type Optional = Readonly<Record<string, readonly [value: object | string | undefined, comment: string]>>

function fileAs(key: string, path: string | undefined): object | undefined {
  return path === undefined ? undefined : { [key]: path }
}

/** Loki takes OTLP below /otlp. */
function lokiEndpoint(url: string): string {
  return URL.canParse(url) && new URL(url).pathname === '/' ? `${url.replace(/\/$/, '')}/otlp` : url
}

function indented(text: string, by: number): string {
  return text.replaceAll(/^(?=.)/gm, ' '.repeat(by))
}
