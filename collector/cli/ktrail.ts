/** The commands of `ktrail` and their help. */
import type { Command } from './command.ts'
import { group } from './group.ts'

const HELP = `ktrail: runs Tetragon-compatible tracing policies and ships what matched

  ktrail run [--config FILE]            the agent, in the foreground, as root
  ktrail check FILE... | --kernel       mistakes in configs and policies, as
                                        file:line:col: message; needs no root
  ktrail config print [--effective]     the config, with --effective also every
                      [--config FILE]   default and where each value comes from
  ktrail spool ls|verify|repair|replay  events that wait on disk for a sink
  ktrail audit SOURCE...                whether a sink lacks records: files,
                                        kafka:// topics, loki:// queries
  ktrail events [-o compact]            what a running agent sees, live
  ktrail version                        versions of ktrail, Node and the kernel
  ktrail help [COMMAND]                 this help, or help for a command

The default for --config is ktrail's own config/ktrail.yaml. While it runs, the
agent answers GET /livez, /readyz, /metrics, /status on server.http (default
127.0.0.1:2112). SIGUSR1 reopens log files, SIGHUP also reloads the config;
SIGTERM and SIGINT drain and stop.

Exit codes: 0 done, 1 failed, 2 wrong usage, 78 wrong config or policy.
`

const RUN = `ktrail run [--config FILE]

Runs the agent in the foreground until SIGTERM or SIGINT: loads the policies of
the config, attaches them, and sends what matches to its exporters. Ready when
GET /readyz on server.http answers 200. Needs root and the host's pid
namespace; one agent runs on a host. Its own log goes to standard error.

  --config FILE   instead of ktrail's own config/ktrail.yaml

SIGUSR1 reopens log files and reads certificates and passwords again, SIGHUP
also reloads config and policies, which are watched, too. A second SIGTERM or
SIGINT ends the wait for sinks: held events are written to the spools at once.
A third one kills.

Exit codes: 0 stopped, all events delivered; 1 failed, or stopped before all
events were delivered; 2 wrong usage; 78 wrong config or policy.
`

const CHECK = `ktrail check FILE|FOLDER...
ktrail check --kernel [--config FILE]

Prints every mistake in configs and policies as file:line:col: message. Needs
no root. Of a folder it takes the *.yaml and *.yml files, not its folders.
Policies are recognized by their keys (kind, spec). For a config, missing
packages and policies are reported, too; the policies that it names are not
read: check them as well. Warnings and notes are no mistakes; among them are
functions that the kernel of this machine lacks.

  --kernel        what this kernel offers, what ktrail does without it, and
                  whether it has the functions of the configured policies;
                  some of it only root can find out
  --config FILE   instead of ktrail's own config/ktrail.yaml

Exit codes: 0 no mistakes, 2 wrong usage, 78 mistakes, or the kernel cannot
run ktrail or a policy.
`

const AUDIT = `ktrail audit FILE... | kafka://BROKERS/TOPIC[,TOPIC] | loki://HOST?QUERY
             [--partial] [--since TIME] [-o text|json]

Reads a sink once and proves from the numbers of its records what is whole,
what is missing, whether a loss record tells of it, and what is there twice or
out of order. Files may be compressed (.gz), - is standard input; they need
envelope: true. Several sources are read as one: give all topics of a template.

  --partial       the sink has forgotten old records: begin with the oldest
  --since TIME    read from this time on, such as 2026-11-24T14:00:00Z; loki
                  reads the last hour without it. Implies --partial
  -o json         the same for programs, as one line

Kafka with TLS or login, Loki with a token: see docs/audit.md.

Exit codes: 0 nothing is missing untold, 1 something is or the sink cannot be
read, 2 wrong usage.
`

const CONFIG = `ktrail config: shows what a config means

  ktrail config print [--effective] [--config FILE]

ktrail config print --help explains more.
`

const CONFIG_PRINT = `ktrail config print [--effective] [--config FILE]

Prints a config as YAML: the content of its file, with references (\${env:NAME})
replaced. Secrets are shown as [redacted].

  --effective     every effective value, also from defaults and variables
                  (OTEL_*), each with its source
  --config FILE   instead of ktrail's own config/ktrail.yaml

Exit codes: 0 printed, 2 wrong usage, 78 the config is wrong.
`

const EVENTS = `ktrail events [-o json|compact] [OPTIONS]
ktrail events [-o json|compact] [OPTIONS] < FILE

Prints the events of a running agent as they come, or those of JSON lines on
standard input. The agent sends only what is asked for.

  -o, --output json|compact     default: json
  -e, --event-type TYPE         exec, exit, kprobe
      --policy NAME             events of this policy
      --process REGEX           binary of the process, RE2
  -n, --namespace NAME          Kubernetes namespace
      --pod REGEX               name of the pod, RE2
      --host                    only outside any pod
      --timestamps              compact lines begin with the time
      --color auto|always|never for compact lines; default: auto
      --server ADDRESS          default: unix:///run/ktrail/ktrail.sock
      --ca-file, --cert-file, --key-file FILE
                                certificates, for an address host:port
      --reconnect               waits for an agent that is not there

Lists are separated by commas. Losses are reported on standard error.
`

const VERSION = `ktrail version

Prints the versions of ktrail, of the Node that runs it and of the kernel.
`

const config = group({
  name: 'ktrail config',
  help: CONFIG,
  commands: { print: { help: CONFIG_PRINT, load: async () => (await import('./config.ts')).configPrintCommand } },
})

const root = group({
  name: 'ktrail',
  help: HELP,
  // Loaded when needed: only the agent needs the addon and the exporters.
  commands: {
    run: { help: RUN, load: async () => (await import('./run.ts')).runCommand },
    check: { help: CHECK, load: async () => (await import('./check.ts')).checkCommand },
    audit: { help: AUDIT, load: async () => (await import('./audit.ts')).auditCommand },
    config: { load: () => Promise.resolve(config) },
    spool: { load: async () => (await import('./spool.ts')).spoolCommand },
    events: { help: EVENTS, load: async () => (await import('./events.ts')).eventsCommand },
    version: { help: VERSION, load: async () => (await import('./version.ts')).versionCommand },
  },
  later: ['policy', 'status', 'top'],
})

/** `ktrail`. */
export const ktrail: Command = (args, terminal) => {
  const isVersion = args[0] === '--version' || args[0] === '-v'
  return root(isVersion ? ['version', ...args.slice(1)] : args, terminal)
}
