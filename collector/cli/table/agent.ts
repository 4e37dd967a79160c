/** Commands that talk to a running agent. */
import { SERVER_OPTIONS } from './options.ts'
import type { CommandSpec } from './spec.ts'

export const EVENTS: CommandSpec = {
  summary: 'what a running agent sees, live',
  usage: ['[-o json|compact] [OPTIONS]', '[-o json|compact] [OPTIONS] < FILE'],
  text: [
    'Prints the events of a running agent as they come, or those of JSON lines on standard input. The agent sends only what is asked for.',
  ],
  options: {
    output: { short: 'o', choices: ['json', 'compact'], about: 'default: json' },
    'event-type': { short: 'e', value: 'TYPE', about: 'exec, exit, kprobe', offered: ['exec', 'exit', 'kprobe'] },
    policy: { value: 'NAME', offered: 'policies', about: 'events of this policy' },
    process: { value: 'REGEX', about: 'binary of the process, RE2' },
    namespace: { short: 'n', value: 'NAME', about: 'Kubernetes namespace' },
    pod: { value: 'REGEX', about: 'name of the pod, RE2' },
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
