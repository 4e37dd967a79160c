import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import kafkajs from 'kafkajs'
import {
  containerOf,
  execIdOf,
  Keys,
  murmur2,
  partitionOf,
  podOf,
} from '../../../../../exporters/sinks/kafka/partitions.ts'
import { createJsonEncoder } from '../../../../../exporters/encoding/json-line.ts'
import type { Event } from '../../../../../exporters/contract/event.ts'
import {
  makeChange,
  makeExec,
  makeExit,
  makeKprobe,
  makeLoss,
  makeParent,
  makePod,
  makeProcess,
} from '../../support/events.ts'

// Source: Kafka's UtilsTest.java.
const VECTORS = [
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
] as const

for (const [text, hash] of VECTORS) {
  test(`kafka partitions: murmur2 of "${text}" is Java's`, () => assert.equal(murmur2(Buffer.from(text)), hash))
}

const metadata = (count: number) =>
  Array.from({ length: count }, (_, partitionId) => {
    return { partitionId, leader: 1, isr: [1], replicas: [1], partitionErrorCode: 0 }
  })

test('kafka partitions: any key gets the partition of kafkajs, which follows Java', () => {
  const partitioner = kafkajs.Partitioners.DefaultPartitioner()
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 70 }), fc.integer({ min: 1, max: 50 }), (bytes, count) => {
      const key = Buffer.from(bytes)
      const want = partitioner({ topic: 't', partitionMetadata: metadata(count), message: { key, value: '' } })
      assert.equal(partitionOf(key, count), want)
    }),
  )
})

test('kafka partitions: the exec_id is found in each type of event', () => {
  const encoder = createJsonEncoder({ nodeName: 'n' })
  for (const event of [makeExec(), makeExit(), makeKprobe()]) {
    const line = Buffer.from(encoder.encode([event]).bytes)
    assert.equal(execIdOf(line)?.toString(), event.process?.execId)
  }
})

const WITHOUT = [
  '',
  '{}',
  '{"process_loss":{"count":3}}',
  '{"x":{"process":{"exec_id":""}}}',
  '{"x":{"process":{"exec_id":"abc',
]
for (const line of WITHOUT) {
  test(`kafka partitions: ${line === '' ? 'an empty line' : line} has no exec_id and gets the node's key`, () => {
    assert.equal(execIdOf(Buffer.from(line)), undefined)
    const keys = new Keys('exec_id', 'n')
    assert.equal(keys.of({ type: 'process_exec', policy: '' }, Buffer.from(line))?.toString(), 'n')
  })
}

const HOSTILE_CHANGE = makeChange({ by: 'file /a,"pod":{"namespace":"evil","name":"x"},"docker":"evil"' })
const POD_LINES: ReadonlyArray<readonly [what: string, event: Event, want: string | undefined]> = [
  ['a process in a pod', makeExec({ process: makeProcess({ pod: makePod() }) }), 'default/file-access'],
  ['an exit', makeExit({ process: makeProcess({ pod: makePod({ name: 'web' }) }) }), 'default/web'],
  ['outside of pods', makeKprobe(), undefined],
  ['only the parent in a pod', makeExec({ parent: makeParent({ pod: makePod() }) }), undefined],
  [
    'arguments that look like a pod',
    makeExec({ process: makeProcess({ arguments: '","pod":{"namespace":"evil","name":"x"}' }) }),
    undefined,
  ],
  [
    'arguments that look like a parent',
    makeExec({ process: makeProcess({ arguments: ',"parent":{', pod: makePod() }) }),
    'default/file-access',
  ],
  ['a loss', makeLoss(), undefined],
  ['a change that looks like one', HOSTILE_CHANGE, undefined],
]
for (const [what, event, want] of POD_LINES) {
  test(`kafka partitions: the pod, ${what}`, () => {
    const line = Buffer.from(createJsonEncoder({ nodeName: 'n' }).encode([event]).bytes)
    assert.equal(podOf(line)?.toString(), want)
    assert.equal(new Keys('pod', 'n').of({ type: 'process_exec', policy: '' }, line)?.toString(), want ?? 'n')
  })
}

const HIDING = makePod({ labels: { a: '1', docker: 'evil', parent: 'x' } })
const CONTAINER_LINES: ReadonlyArray<readonly [what: string, event: Event, want: string | undefined]> = [
  ['in a container', makeExec({ process: makeProcess({ docker: 'abc' }) }), 'abc'],
  ['in a container, without a parent', makeExec({ process: makeProcess({ docker: 'abc' }), parent: undefined }), 'abc'],
  ['a pod with labels like keys', makeExec({ process: makeProcess({ docker: 'abc', pod: HIDING }) }), 'abc'],
  [
    'only the parent in a container',
    makeExec({ process: makeProcess({ docker: '' }), parent: makeParent({ docker: 'abc' }) }),
    undefined,
  ],
  [
    'arguments that look like one',
    makeExec({ process: makeProcess({ docker: '', arguments: ',"docker":"evil"' }), parent: undefined }),
    undefined,
  ],
  ['a loss', makeLoss(), undefined],
  ['a change that looks like one', HOSTILE_CHANGE, undefined],
]
for (const [what, event, want] of CONTAINER_LINES) {
  test(`kafka partitions: the container, ${what}`, () => {
    const line = Buffer.from(createJsonEncoder({ nodeName: 'n' }).encode([event]).bytes)
    assert.equal(containerOf(line)?.toString(), want)
    assert.equal(new Keys('container', 'n').of({ type: 'process_exec', policy: '' }, line)?.toString(), want ?? 'n')
  })
}

const KEYS = [
  { choice: 'node_name', policy: 'p', want: 'n' },
  { choice: 'policy', policy: 'p', want: 'p' },
  { choice: 'policy', policy: '', want: 'n' },
  { choice: 'none', policy: 'p', want: undefined },
] as const
for (const { choice, policy, want } of KEYS) {
  test(`kafka partitions: key ${choice} with policy "${policy}" is ${want ?? 'none'}`, () => {
    const key = new Keys(choice, 'n').of({ type: 'process_exec', policy }, Buffer.from('{}'))
    assert.equal(key?.toString(), want)
  })
}
