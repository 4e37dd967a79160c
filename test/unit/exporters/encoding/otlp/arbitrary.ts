/** Random events for property tests: every type of record and argument, texts of every length and script. */
import fc from 'fast-check'
import type { Argument, Event, Hook, Process, ProcessEvent } from '../../../../../exporters/contract/event.ts'
import type { FileDetails } from '../../../../../exporters/contract/file-details.ts'
import { makeExec, makeExit, makeKprobe, makeLoss, makeProcess } from '../../support/events.ts'

const word = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.constant('\ufeff'),
  // Lone surrogates.
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 6 }).map((codes) => String.fromCharCode(...codes)),
  // Near the lengths at which a varint grows.
  fc.constantFrom(47, 48, 49, 120, 127, 128, 129, 16_300, 16_384).map((length) => 'x'.repeat(length)),
)
const uint32 = fc.integer({ min: 0, max: 4294967295 })
const time = fc.record({
  sec: fc.integer({ min: 0, max: 4_102_444_800 }),
  nsec: fc.integer({ min: 0, max: 999_999_999 }),
})

const process: fc.Arbitrary<Process> = fc
  .record({
    execId: word,
    parentExecId: word,
    pid: fc.integer({ min: 0, max: 4194304 }),
    uid: uint32,
    auid: fc.oneof(uint32, fc.constant(4294967295)),
    cwd: word,
    binary: word,
    arguments: word.map((text) => text.replaceAll('\0', '')),
    argv: fc.array(word, { maxLength: 4 }).map((words) => words.join('\0')),
    startTime: time,
    docker: word,
  })
  .map((change) => makeProcess(change))

const details: fc.Arbitrary<FileDetails> = fc.record({
  content: fc.option(
    fc.record({
      sizeBytes: fc.oneof(fc.nat(), fc.bigInt(2n ** 53n, 2n ** 64n - 1n)),
      changed: fc.option(time, { nil: undefined }),
      generation: uint32,
      links: uint32,
    }),
    { nil: undefined },
  ),
  mountId: fc.nat(3),
  detached: fc.boolean(),
  overlay: fc.option(fc.record({ upper: fc.boolean(), inode: fc.nat(), device: uint32 }), { nil: undefined }),
  named: fc.option(word, { nil: undefined }),
  hash: fc.option(
    fc.record({
      maxBytes: fc.nat(),
      result: fc.option(
        fc.oneof(
          fc.record({ sha256: word, sizeBytes: fc.nat(), changed: time }),
          fc.record({ missing: fc.constantFrom('late' as const, 'too_large' as const) }),
        ),
        { nil: undefined },
      ),
    }),
    { nil: undefined },
  ),
})

const argument: fc.Arbitrary<Argument> = fc.oneof(
  fc.record({
    kind: fc.constant('file' as const),
    field: fc.constantFrom('file_arg', 'path_arg'),
    path: word,
    raw: fc.constant(undefined),
    mode: fc.integer({ min: 0, max: 0xffff }),
    inode: fc.constant(1),
    device: fc.constant(1),
    unresolved: fc.boolean(),
    unstable: fc.boolean(),
    deleted: fc.boolean(),
    details: fc.option(details, { nil: undefined }),
  }),
  fc.record({
    kind: fc.constant('number' as const),
    field: fc.constant('int_arg'),
    value: fc.integer({ min: -2147483648, max: 2147483647 }),
  }),
  fc.record({ kind: fc.constant('number' as const), field: fc.constant('uint_arg'), value: uint32 }),
  fc.record({
    kind: fc.constant('wide' as const),
    field: fc.constant('long_arg'),
    value: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  }),
  fc.record({
    kind: fc.constant('wide' as const),
    field: fc.constant('size_arg'),
    value: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  }),
  fc.record({
    kind: fc.constant('string' as const),
    field: fc.constant('string_arg'),
    value: word,
    raw: fc.constant(undefined),
    truncated: fc.boolean(),
  }),
  fc.record({ value: fc.uint8Array({ maxLength: 20 }), more: fc.nat(1) }).map(({ value, more }) => ({
    kind: 'bytes' as const,
    field: more === 0 ? 'bytes_arg' : 'truncated_bytes_arg',
    value,
    size: BigInt(value.length + more),
  })),
  fc.record({ kind: fc.constant('error' as const), field: fc.constant('error_arg'), message: word }),
)
const hook: fc.Arbitrary<Hook> = fc.record({
  id: fc.nat(),
  policy: fc.oneof(word, fc.constantFrom('low', 'high')),
  functionName: fc.oneof(
    word,
    fc.constantFrom('security_file_permission', 'security_mmap_file', 'security_path_truncate', 'vfs_read'),
  ),
  action: fc.constantFrom('post', 'override'),
  returnAction: fc.constantFrom('post', 'override'),
  message: word,
  tags: fc.array(fc.oneof(word, fc.constant('urgent')), { maxLength: 3 }),
  labels: fc.array(fc.oneof(word, fc.constantFrom('', 'same')), { maxLength: 5 }),
  indexes: fc.constantFrom([], [0, 1, 2, 3, 4], [0, 2, 3, 4]),
})
const parent = fc.option(process, { nil: undefined })

const processEvent: fc.Arbitrary<ProcessEvent> = fc.oneof(
  fc.record({ process, parent, time }).map((change): ProcessEvent => makeExec(change)),
  fc
    .record({ process, parent, time, signal: fc.constantFrom('', 'SIGKILL'), status: fc.nat(255) })
    .map((change): ProcessEvent => makeExit(change)),
  fc
    .record({
      process,
      parent,
      time,
      hook,
      tid: fc.integer({ min: 0, max: 4194304 }),
      args: fc.array(argument, { maxLength: 5 }),
      returned: fc.option(argument, { nil: undefined }),
    })
    .map((change): ProcessEvent => makeKprobe(change)),
)

const stage = fc.constantFrom('kernel' as const, 'exporter' as const)
const seq = fc.option(fc.nat(2 ** 48), { nil: undefined })
const loss: fc.Arbitrary<Event> = fc
  .record({
    time,
    loss: fc.record({ stage, exporter: word, reason: word }),
    count: fc.nat(2 ** 48),
    firstSeq: seq,
    lastSeq: seq,
  })
  .map((change) => makeLoss(change))

/** Slices as the fan-out passes them on: sequence without gaps. */
export const anyProcessEvents: fc.Arbitrary<ProcessEvent[]> = numbered(processEvent)
export const anyEvents: fc.Arbitrary<Event[]> = numbered(
  fc.oneof({ arbitrary: processEvent, weight: 3 }, { arbitrary: loss, weight: 1 }),
)

function numbered<E extends Event>(event: fc.Arbitrary<E>): fc.Arbitrary<E[]> {
  return fc
    .tuple(fc.array(event, { maxLength: 8 }), fc.nat(2 ** 48))
    .map(([events, first]) => events.map((one, i) => ({ ...one, seq: first + i })))
}
