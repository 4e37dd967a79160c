/** Commands about what was sent, and what waits to be sent. */
import { CONFIG_OPTION } from './options.ts'
import type { CommandSpec, GroupSpec } from './spec.ts'

export const AUDIT: CommandSpec = {
  summary: 'whether records are missing from files, Kafka or Loki',
  usage: ['FILE... | kafka://BROKERS/TOPIC[,TOPIC] | loki://HOST?QUERY [--partial] [--since TIME] [-o text|json]'],
  text: [
    'Reads a sink once and proves from the numbers of its records what is whole, what is missing, whether a loss record tells of it, what is there twice or out of order, and which numbers contradict each other. It lists who changed policies and config. Files may be compressed (.gz), - is standard input; they need envelope: true. Several sources are read as one: give all topics of a template.',
  ],
  options: {
    partial: { about: 'the sink has forgotten old records: begin with the oldest' },
    since: {
      value: 'TIME',
      about:
        'read from this time on, such as 2026-11-24T14:00:00Z; loki reads the last hour without it. Implies --partial',
    },
    output: { short: 'o', choices: ['text', 'json'], about: 'json: the same for programs, as one line' },
  },
  notes: ['Kafka with TLS or login, Loki with a token: see docs/audit.md.'],
  offered: 'files',
  exits:
    '0 nothing is missing untold and no numbers contradict each other, 1 something is missing, they do, or a sink cannot be read, 2 wrong usage',
  examples: ['ktrail audit kafka://broker:9092/ktrail.events --partial'],
  load: async () => (await import('../audit.ts')).auditCommand,
}

export const SPOOL: GroupSpec = {
  summary: 'events that wait on disk',
  notes: [
    "NAME is an exporter of the config with a spool, DIR a spool's folder (with a slash in it, such as /var/lib/ktrail/spool/loki). All commands take --config FILE and --help.",
  ],
  commands: {
    ls: {
      summary: 'what waits in each spool',
      usage: ['[NAME|DIR]... [-o table|json] [--config FILE]'],
      text: [
        'Shows spools: waiting events, bytes and files on disk, creation time of the oldest file (in UTC), the process that uses the spool. The lines below show the folder; how many of all events the sink has taken; while no agent uses the spool, up to which event it is safe from a power cut; and damage that shows without reading everything. Without a name: all spools of the config, also those of exporters that were removed or renamed. Works while an agent runs.',
      ],
      options: { ...CONFIG_OPTION, output: { short: 'o', choices: ['table', 'json'], about: 'default: table' } },
      offered: 'exporters',
      exits: '0 shown, 1 a spool cannot be read, 2 wrong usage, 78 wrong config',
      load: async () => (await import('../spool/ls.ts')).lsCommand,
    },
    verify: {
      summary: 'compares the checksums of every byte',
      usage: ['[NAME|DIR]... [--config FILE]'],
      text: [
        'Reads every byte of the spools and compares checksums. Reports damage and how many events are lost by it. Changes nothing. Without a name: all spools of the config. Works while an agent runs.',
      ],
      options: CONFIG_OPTION,
      offered: 'exporters',
      exits: '0 no damage, 1 damage, or a spool cannot be read, 2 wrong usage, 78 wrong config',
      load: async () => (await import('../spool/verify.ts')).verifyCommand,
    },
    repair: {
      summary: 'repairs a spool that no agent uses',
      usage: ['NAME|DIR [--config FILE]'],
      text: [
        'Does what the next start of the agent would do (cuts off a torn end, moves unreadable files to quarantine/, removes files whose events are all taken), and moves files without a whole frame to quarantine/, too. Readable events stay, in order. Fails while an agent uses the spool.',
      ],
      options: CONFIG_OPTION,
      offered: 'exporters',
      exits: '0 done, 1 in use or not readable, 2 wrong usage, 78 wrong config',
      load: async () => (await import('../spool/repair.ts')).repairCommand,
    },
    replay: {
      summary: 'prints the waiting events, or moves them to another sink',
      usage: ['NAME|DIR [-o json | --to EXPORTER [--remove]] [--since TIME] [--until TIME] [--all] [--config FILE]'],
      text: [
        'Prints the waiting events as JSON lines, also those encoded for OTLP. They stay in the spool. Works while an agent runs.',
      ],
      options: {
        output: { short: 'o', choices: ['json'], about: 'prints JSON lines: the default' },
        to: {
          value: 'EXPORTER',
          offered: 'exporters',
          about:
            'sends them to this exporter of the config instead, which must use the encoding of the spool. Its filter, redaction and rate limit are not applied',
        },
        remove: {
          about:
            'with --to: removes events that the sink has accepted (moves a backlog). Fails while an agent uses the spool',
        },
        since: { value: 'TIME', about: 'only events since then: 2026-03-09T05:30:00Z, or an age (90m)' },
        until: { value: 'TIME', about: 'only events before then' },
        all: { about: 'also events that were taken already and are still on disk' },
        ...CONFIG_OPTION,
      },
      notes: ['Do not send to a file that a running agent writes: both would write to it.'],
      offered: 'exporters',
      exits: '0 done, 1 some events cannot be read or were refused, 2 wrong usage, 78 wrong config',
      examples: ['ktrail spool replay loki --since 90m', 'ktrail spool replay loki --to archive --remove'],
      load: async () => (await import('../spool/replay.ts')).replayCommand,
    },
  },
}
