import type { Command } from './command.ts'
import { group } from './group.ts'

const HELP = `ktrail spool: events that wait on disk until their sink accepts them

  ktrail spool ls     [NAME|DIR]... [-o table|json]
  ktrail spool verify [NAME|DIR]...
  ktrail spool repair NAME|DIR
  ktrail spool replay NAME|DIR [-o json | --to EXPORTER [--remove]]
                      [--since TIME] [--until TIME] [--all]

NAME is an exporter of the config with a spool, DIR a spool's folder (with a
slash in it, such as /var/lib/ktrail/spool/loki). All commands take
--config FILE and --help.
`

const LS = `ktrail spool ls [NAME|DIR]... [-o table|json] [--config FILE]

Shows spools: waiting events, bytes and files on disk, creation time of the
oldest file (in UTC), the process that uses the spool. The lines below show the
folder; how many of all events the sink has taken; while no agent uses the
spool, up to which event it is safe from a power cut; and damage that shows
without reading everything. Without a name: all spools of the config, also
those of exporters that were removed or renamed. Works while an agent runs.

Exit codes: 0 shown, 1 a spool cannot be read, 2 wrong usage, 78 wrong config.
`

const VERIFY = `ktrail spool verify [NAME|DIR]... [--config FILE]

Reads every byte of the spools and compares checksums. Reports damage and how
many events are lost by it. Changes nothing. Without a name: all spools of the
config. Works while an agent runs.

Exit codes: 0 no damage, 1 damage, or a spool cannot be read, 2 wrong usage,
78 wrong config.
`

const REPAIR = `ktrail spool repair NAME|DIR [--config FILE]

Does what the next start of the agent would do (cuts off a torn end, moves
unreadable files to quarantine/, removes files whose events are all taken), and
moves files without a whole frame to quarantine/, too. Readable events stay, in
order. Fails while an agent uses the spool.

Exit codes: 0 done, 1 in use or not readable, 2 wrong usage, 78 wrong config.
`

const REPLAY = `ktrail spool replay NAME|DIR [-o json | --to EXPORTER [--remove]]
                    [--since TIME] [--until TIME] [--all] [--config FILE]

Prints the waiting events as JSON lines, also those encoded for OTLP. They
stay in the spool. Works while an agent runs.

  --to EXPORTER   sends them to this exporter of the config instead, which must
                  use the encoding of the spool. Its filter, redaction and rate
                  limit are not applied
  --remove        with --to: removes events that the sink has accepted (moves a
                  backlog). Fails while an agent uses the spool
  --since TIME    only events since then: 2026-03-09T05:30:00Z, or an age (90m)
  --until TIME    only events before then
  --all           also events that were taken already and are still on disk

Do not send to a file that a running agent writes: both would write to it.

Exit codes: 0 done, 1 some events cannot be read or were refused, 2 wrong
usage, 78 wrong config.
`

/** `ktrail spool`. */
export const spoolCommand: Command = group({
  name: 'ktrail spool',
  help: HELP,
  commands: {
    ls: { help: LS, load: async () => (await import('./spool/ls.ts')).lsCommand },
    verify: { help: VERIFY, load: async () => (await import('./spool/verify.ts')).verifyCommand },
    repair: { help: REPAIR, load: async () => (await import('./spool/repair.ts')).repairCommand },
    replay: { help: REPLAY, load: async () => (await import('./spool/replay.ts')).replayCommand },
  },
})
