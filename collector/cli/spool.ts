import type { Command } from './command.ts'
import { group } from './group.ts'

const HELP = `ktrail spool: events that wait on disk until their sink takes them

  ktrail spool ls     [NAME|DIR]... [-o table|json]
  ktrail spool verify [NAME|DIR]...
  ktrail spool repair NAME|DIR
  ktrail spool replay NAME|DIR [-o json | --to EXPORTER [--remove]]
                      [--since TIME] [--until TIME] [--all]

NAME is an exporter of the config with a spool, DIR its folder (with a slash in
it, such as /var/lib/ktrail/spool/loki). All of them take --config FILE, and
--help for details.
`

const LS = `ktrail spool ls [NAME|DIR]... [-o table|json] [--config FILE]

Shows spools: events that wait, bytes and files on disk, when the oldest file
was begun, the process that uses it. Below it its folder; how far its sink has
taken events, of how many there ever were, and, while no agent uses it, up to
which they surely survive a power cut; and damage, as far as it shows without
reading everything. Without a name all spools of the config, also those that an
exporter of another name left behind. Works beside a running agent. OLDEST FILE
is in UTC.

Exit codes: 0 shown, 1 a spool cannot be read, 2 wrong usage, 78 wrong config.
`

const VERIFY = `ktrail spool verify [NAME|DIR]... [--config FILE]

Reads every byte of the spools and compares checksums. Reports damage and how
many events it costs. Changes nothing. Without a name all spools of the
config. Works beside a running agent.

Exit codes: 0 no damage, 1 damage, or a spool cannot be read, 2 wrong usage,
78 wrong config.
`

const REPAIR = `ktrail spool repair NAME|DIR [--config FILE]

Does at once what the next start of the agent would do (cuts off a torn end,
moves unreadable files to quarantine/, removes what is taken), and moves away
files without a single whole frame. Events that can be read stay, in order. Not
while an agent uses the spool.

Exit codes: 0 done, 1 in use or not readable, 2 wrong usage, 78 wrong config.
`

const REPLAY = `ktrail spool replay NAME|DIR [-o json | --to EXPORTER [--remove]]
                    [--since TIME] [--until TIME] [--all] [--config FILE]

Prints the events that wait as JSON lines, those encoded for OTLP too, and
leaves them where they are; works beside a running agent.

  --to EXPORTER   sends them through this exporter of the config instead, which
                  must be of the kind they were encoded for. They go as they
                  are: without its filter, redaction and rate limit
  --remove        with --to: removes what the sink has taken (moves a backlog);
                  not while an agent uses the spool
  --since TIME    only events from then on: 2026-03-09T05:30:00Z, or how long
  --until TIME    ago (90m); until: only those before
  --all           also those that are taken already and still on disk

A file that a running agent writes is no good target: two would write it.

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
