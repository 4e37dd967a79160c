/**
 * How many instructions does user space execute for an event, from the ring to the answer of a sink, and how many while nothing happens?
 * The guest's clock counts instructions, so the processor time of a process is their number. V8 compiles and collects garbage beside the
 * program: rows repeat less exactly than the kernel's.
 */
import { setFlagsFromString } from 'node:v8'
import { HEAP_FLAGS } from '../../../collector/host/heap.ts'
import { roundOf } from '../support/delivery-child.ts'
import { discardingBroker, discardingSink } from '../support/discarding-sink.ts'
import { COUNTED, leaveOut, printResult, show } from '../support/result.ts'
import { IDLE_SECONDS, idleUse } from './live-agent.ts'

if (!COUNTED) leaveOut('run it by make bench ONLY=instructions, which counts')

const EVENTS = 20_000
const ROUNDS = 5
for (const flag of HEAP_FLAGS) setFlagsFromString(flag)

/** Instructions per event: the least of some rounds, because compilation and garbage collection only add to a round. */
async function deliver(exporter: string): Promise<number> {
  const round = await roundOf({ is: 'line', exporters: `exporters:\n  ${exporter}\n`, events: EVENTS })
  let least = Infinity
  for (let i = 0; i < ROUNDS; i++) least = Math.min(least, 1000 * (await round()).cpuUs)
  return least
}

async function deliveries(): Promise<Array<readonly [name: string, instructions: number]>> {
  using sink = await discardingSink()
  using broker = await discardingBroker()
  const chain = 'queue: { when_full: block }'
  return [
    ['ring → file', await deliver(`archive: { type: file, path: "\${env:FOLDER}/events.jsonl", ${chain} }`)],
    [
      'ring → OTLP, gzip-1',
      await deliver(`otlp: { type: otlp, logs_endpoint: "${sink.url}", compression: gzip, ${chain} }`),
    ],
    [
      'ring → Kafka, zstd',
      await deliver(`bus: { type: kafka, brokers: ["${broker.address}"], topic: events, compression: zstd, ${chain} }`),
    ],
  ]
}
const delivered = await deliveries()
const { cpuMs, wakeups } = await idleUse()
const idle = 1e6 * cpuMs
printResult(
  'user-instructions',
  [
    ...delivered.map(([name, value]) => ({ name, value, unit: 'instructions per event' })),
    { name: `${IDLE_SECONDS} idle seconds`, value: idle, unit: 'instructions', atMost: 10e6 },
    { name: 'idle wakeups', value: wakeups / IDLE_SECONDS, unit: '/s', atMost: 5 },
  ],
  [
    {
      title: 'User space: instructions from the ring to the answer of a sink, and of an idle agent',
      columns: ['', 'instructions'],
      rows: [
        ...delivered.map(([name, count]) => [`${name}, an event`, show(count)]),
        [`${IDLE_SECONDS} idle seconds`, show(idle)],
      ],
      notes: [`The least of ${ROUNDS} rounds of ${show(EVENTS)} synthetic events. The sinks discard everything.`],
    },
  ],
)
