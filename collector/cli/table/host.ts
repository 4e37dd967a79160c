/** Commands that run the agent or need none. */
import { CONFIG_OPTION } from './options.ts'
import type { CommandSpec, GroupSpec } from './spec.ts'

export const RUN: CommandSpec = {
  summary: 'the agent, in the foreground, as root',
  usage: ['[--config FILE]'],
  text: [
    "Runs the agent in the foreground until SIGTERM or SIGINT: loads the policies of the config, attaches them, and sends what matches to its exporters. Ready when GET /readyz on server.http answers 200. Needs root and the host's pid namespace; one agent runs on a host. Its own log goes to standard error.",
  ],
  options: CONFIG_OPTION,
  notes: [
    'SIGUSR1 reopens log files and reads certificates and passwords again, SIGHUP also reloads config and policies, which are watched, too. A second SIGTERM or SIGINT ends the wait for sinks: held events are written to the spools at once. A third one kills.',
  ],
  exits:
    '0 stopped, all events delivered; 1 failed, or stopped before all events were delivered; 2 wrong usage; 78 wrong config or policy',
  examples: ['ktrail run --config /etc/ktrail/ktrail.yaml'],
  load: async () => (await import('../run.ts')).runCommand,
}

export const CHECK: CommandSpec = {
  summary: 'mistakes in configs and policies, without root',
  usage: ['FILE|FOLDER...', '--kernel [--config FILE]', '--probe [FILE]'],
  text: [
    'Prints every mistake in configs and policies as file:line:col: message. Needs no root. Of a folder it takes the *.yaml and *.yml files, not its folders. Policies are recognized by their keys (kind, spec). For a config, missing packages and policies are reported, too; the policies that it names are not read: check them as well. Warnings and notes are no mistakes; among them are functions that the kernel of this machine lacks.',
  ],
  options: {
    kernel: {
      about:
        'what this kernel offers, what ktrail does without it, and whether it has the functions of the configured policies; some of it only root can find out',
    },
    probe: {
      about: 'checks a config, then connects to each of its sinks for at most 5 seconds and sends nothing',
    },
    ...CONFIG_OPTION,
  },
  offered: 'files',
  exits:
    '0 no mistakes, 1 a sink cannot be used, 2 wrong usage, 78 mistakes, or the kernel cannot run ktrail or a policy',
  examples: ['ktrail check config/ktrail.yaml config/policies'],
  load: async () => (await import('../check/check.ts')).checkCommand,
}

export const INIT: CommandSpec = {
  summary: 'writes a first config',
  usage: ['[--file PATH] [--loki URL] [--otlp URL] [--kafka BROKERS] [OPTIONS]'],
  text: [
    'Writes a config that ktrail check passes, with comments about what each part means. On a terminal and without options for its content it asks. Without any sink, events go to standard output.',
  ],
  options: {
    file: { value: 'PATH', offered: 'files', about: 'events as JSON lines to this file' },
    loki: { value: 'URL', about: 'events to Grafana Loki' },
    otlp: { value: 'URL', about: 'events to an OTLP sink, over HTTP' },
    kafka: { value: 'BROKERS', about: 'events to Kafka; host:port, separated by commas' },
    topic: { value: 'NAME', about: 'for --kafka; default: ktrail.events' },
    policies: { value: 'PATH', offered: 'files', about: "instead of ktrail's own policies" },
    output: { value: 'FILE', offered: 'files', about: 'default: ktrail.yaml; - is standard output' },
    force: { about: 'replaces a file that exists' },
  },
  exits: '0 written, 1 not written, 2 wrong usage, 78 the config would have mistakes',
  examples: ['ktrail init --loki http://loki:3100'],
  load: async () => (await import('../init/init.ts')).initCommand,
}

export const CONFIG: GroupSpec = {
  summary: 'shows what a config means',
  commands: {
    print: {
      summary: 'the config, and where each value comes from',
      usage: ['[--effective] [--config FILE]'],
      text: [
        'Prints a config as YAML: the content of its file, with references (${env:NAME}) replaced. Secrets are shown as [redacted].',
      ],
      options: {
        effective: { about: 'every effective value, also from defaults and variables (OTEL_*), each with its source' },
        ...CONFIG_OPTION,
      },
      exits: '0 printed, 2 wrong usage, 78 the config is wrong',
      examples: ['ktrail config print --effective'],
      load: async () => (await import('../config.ts')).configPrintCommand,
    },
  },
}

/** `root`: the table of all commands, which this one is in. */
export const completionOf = (root: () => GroupSpec): CommandSpec => ({
  summary: 'a script that completes commands in bash, zsh or fish',
  usage: ['bash|zsh|fish'],
  text: [
    'Prints a script for the shell. It completes commands, options and their values, also the names of exporters and policies where an agent answers within 0.3 s.',
  ],
  notes: [
    'To try it: eval "$(ktrail completion bash)"; ktrail completion fish | source. To keep it, write it to the shell\'s folder:',
    '  bash  /usr/share/bash-completion/completions/ktrail\n  zsh   /usr/share/zsh/site-functions/_ktrail\n  fish  /usr/share/fish/vendor_completions.d/ktrail.fish',
  ],
  offered: ['bash', 'zsh', 'fish'],
  exits: '0 printed, 2 wrong usage',
  examples: ['ktrail completion bash > /usr/share/bash-completion/completions/ktrail'],
  load: async () => (await import('../completion.ts')).completionCommand(root()),
})

export const VERSION: CommandSpec = {
  summary: 'versions of ktrail, Node and the kernel',
  text: ['Prints the versions of ktrail, of the Node that runs it and of the kernel.'],
  load: async () => (await import('../version.ts')).versionCommand,
}
