/** Commands that talk to a running agent. */
import { PAGE_OPTIONS, SERVER_OPTIONS } from './options.ts'
import type { CommandSpec, GroupSpec } from './spec.ts'

export const EVENTS: CommandSpec = {
  summary: 'what a running agent sees, live',
  usage: ['[-o json|compact] [OPTIONS]', '[-o json|compact] [OPTIONS] < FILE'],
  text: [
    'Prints the events of a running agent as they come, or those of JSON lines on standard input. The agent sends only what is asked for.',
    'Where standard input is a pipe that sends nothing (cron, ssh), `< /dev/null` or `--server` asks the agent.',
  ],
  options: {
    output: { short: 'o', choices: ['json', 'compact'], about: 'default: json' },
    'event-type': { short: 'e', value: 'TYPE', about: 'exec, exit, kprobe', offered: ['exec', 'exit', 'kprobe'] },
    policy: { value: 'NAME', offered: 'policies', about: 'events of this policy' },
    process: { value: 'REGEX', about: 'binary of the process, RE2' },
    namespace: { short: 'n', value: 'NAME', about: 'Kubernetes namespace' },
    pod: { value: 'REGEX', about: 'name of the pod or container, RE2' },
    container: { value: 'REGEX', about: 'name of the pod or container, RE2' },
    host: { about: 'only outside any pod' },
    timestamps: { about: 'compact lines begin with the time' },
    color: { choices: ['auto', 'always', 'never'], about: 'for compact lines; default: auto' },
    ...SERVER_OPTIONS,
    reconnect: { about: 'waits for an agent that is not there' },
  },
  notes: ['Lists are separated by commas. Losses are reported on standard error.'],
  examples: [
    'ktrail events -o compact --policy file-monitoring',
    'ktrail events -e exec --process /curl$',
    'ktrail events -o compact < /var/log/ktrail/events.jsonl',
  ],
  load: async () => (await import('../events.ts')).eventsCommand,
}

const POLICY_OPTIONS = {
  namespace: { short: 'n', value: 'NAME', about: 'only policies of this Kubernetes namespace' },
  domain: { value: 'NAME', about: 'only policies of this source: a domain, or the path of a file' },
  ...SERVER_OPTIONS,
} as const

const change = (name: string, does: string, more: string, load: CommandSpec['load']): CommandSpec => ({
  summary: does,
  usage: ['NAME [OPTIONS]'],
  text: [more],
  options: POLICY_OPTIONS,
  notes: ['--domain and --namespace are needed only where several policies have the name.'],
  offered: 'policies',
  exits: '0 done, 1 refused by the agent or no agent answers, 2 wrong usage, also an unknown name',
  examples: [`ktrail policy ${name} file-monitoring`],
  load,
})

export const POLICY: GroupSpec = {
  summary: 'policies of a running agent',
  notes: [
    "Policies of files are the agent's own: they can be disabled, and come back with the next start. Those that are added here live as long as the agent.",
  ],
  commands: {
    add: {
      summary: 'adds policy files',
      usage: ['FILE|FOLDER... [OPTIONS]'],
      text: [
        'Adds policies to a running agent, each whole or not at all. Mistakes are printed as file:line:col: message, as by ktrail check. A file that is refused does not keep the others out. An added policy lives until it is deleted or the agent stops.',
      ],
      options: {
        domain: { value: 'NAME', about: 'the source under which they are listed; default: grpc' },
        ...SERVER_OPTIONS,
      },
      offered: 'files',
      exits: '0 all added, 1 no agent answers, 2 wrong usage, 78 a policy has mistakes or was refused',
      examples: ['ktrail policy add secrets.yaml'],
      load: async () => (await import('../policy/add.ts')).addCommand,
    },
    list: {
      summary: 'policies with their state, hooks and hits',
      usage: ['[--json] [OPTIONS]'],
      text: [
        'Shows each policy: its state, how many functions it hooks and in which way, and its events so far. The lines below show where it comes from, why the kernel refused it, and what this kernel lacks.',
      ],
      options: { json: { about: 'the same for programs' }, ...POLICY_OPTIONS },
      exits: '0 shown, 1 no agent answers, 2 wrong usage',
      examples: ['ktrail policy list', 'ktrail policy list --json'],
      load: async () => (await import('../policy/list.ts')).listCommand,
    },
    delete: change(
      'delete',
      'deletes a policy that was added',
      'Detaches a policy that was added to the running agent and forgets it. One of a file cannot be deleted: remove the file, or disable the policy.',
      async () => (await import('../policy/change.ts')).deleteCommand,
    ),
    enable: change(
      'enable',
      'attaches a disabled policy again',
      'Attaches a policy that was disabled.',
      async () => (await import('../policy/change.ts')).enableCommand,
    ),
    disable: change(
      'disable',
      'detaches a policy and keeps it listed',
      'Detaches a policy of the running agent; it stays listed. One of a file is attached again at the next start.',
      async () => (await import('../policy/change.ts')).disableCommand,
    ),
  },
}

export const STATUS: CommandSpec = {
  summary: 'whether the agent is ready, rates, losses, exporters',
  usage: ['[--json] [--config FILE | --http ADDRESS] [--token-file FILE]'],
  text: [
    'Shows whether the running agent is ready, or why not; since when which config is in effect; rates of one second, losses by reason, and the state of exporters and policies. It asks the agent at /run/ktrail/http.sock; with --config, or without the right to connect there, at the server.http of the config, with its server.token.',
  ],
  options: { json: { about: 'the whole page /status, without rates' }, ...PAGE_OPTIONS },
  exits: '0 ready, 1 not ready or no agent answers, 2 wrong usage, 78 wrong config',
  examples: ['ktrail status', 'ktrail status --http 127.0.0.1:2112 --json'],
  load: async () => (await import('../status/status.ts')).statusCommand,
}

export const TAP: CommandSpec = {
  summary: 'what an exporter of the agent is offered, live',
  usage: ['EXPORTER [OPTIONS]'],
  text: [
    'Prints the records of an exporter as they enter its queue: after its filter and redaction, in its format. For OTLP that is the body of the record, or the record as JSON.',
    'Not what the sink acknowledged: the queue, the rate limit and the sink come after it; ktrail status has those counts. If this command is too slow it loses lines, which is reported; it never slows the exporter.',
  ],
  options: SERVER_OPTIONS,
  offered: 'exporters',
  exits: '0 ended, 1 refused or no agent answers, 2 wrong usage',
  examples: ['ktrail tap loki', 'ktrail tap archive | jq .process_exec.process.binary'],
  load: async () => (await import('../tap.ts')).tapCommand,
}

export const TOP: CommandSpec = {
  summary: 'rates, losses, queues and the hottest names, live',
  usage: ['[--once] [--config FILE | --http ADDRESS] [--server ADDRESS] [OPTIONS]'],
  text: [
    'Shows the state of the running agent each second, with the hottest policies, binaries and paths. Keys: q quits, p pauses, s sorts by rate, total or name, / filters by a part of the name. Without a terminal it prints plain text each second.',
  ],
  options: { once: { about: 'prints one second as plain text' }, ...PAGE_OPTIONS, ...SERVER_OPTIONS },
  notes: [
    'Binaries and paths are counted here, from the live events, in bounded memory: of many names the rates are upper bounds. Only while it runs does it cost the agent anything.',
  ],
  exits: '0 ended, 1 no agent answers, 2 wrong usage, 78 wrong config',
  examples: ['ktrail top', 'ktrail top --once'],
  load: async () => (await import('../top/top.ts')).topCommand,
}

export const OCI_HOOK: CommandSpec = {
  summary: 'tells the agent of a container; run by its runtime',
  usage: ['[--server ADDRESS] [--log FILE] < STATE'],
  text: [
    'A createRuntime hook of the OCI runtime specification: the runtime runs it before the first program of a container, with the state of the container on standard input. The agent then knows the container, its cgroup and its pod from the first event on.',
    'It never keeps a container from starting: after two seconds, or when anything is wrong, it ends with 0 and writes a line to its log.',
  ],
  options: {
    server: { value: 'ADDRESS', about: 'default: unix:///run/ktrail/ktrail.sock' },
    log: { value: 'FILE', offered: 'files', about: 'for what went wrong; default: /var/log/ktrail/oci-hook.log' },
  },
  exits: '0 always, but for wrong options: 2',
  examples: ['ktrail oci-hook < state.json'],
  load: async () => (await import('../oci-hook.ts')).ociHookCommand,
}
