import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { FieldFilterConfig } from '../../../../config/agent/schema.ts'
import { createJsonEncoder } from '../../../../exporters/encoding/json-line.ts'
import { withFields } from '../../../../exporters/filtering/fields.ts'
import { anyEvents } from '../encoding/otlp/arbitrary.ts'
import { makeChange, makeExec, makeExit, makeKprobe, makeLoss } from '../support/events.ts'
import { linesOf } from './support.ts'

const lines = createJsonEncoder({ nodeName: 'n' })
const events = [makeExec({ seq: 0 }), makeKprobe({ seq: 1 }), makeExit({ seq: 2 })]

const filter = (fields: string, change: Partial<FieldFilterConfig> = {}): FieldFilterConfig => ({
  fields,
  action: 'INCLUDE',
  invert_event_set: false,
  ...change,
})
const EXCLUDE = { action: 'EXCLUDE' } as const

/** The records below their type. */
function cut(...filters: FieldFilterConfig[]): unknown[] {
  return linesOf(withFields(lines, filters).encode(events)).map((line) => {
    const record: Record<string, unknown> = JSON.parse(line)
    assert.deepEqual(Object.keys(record).slice(1), ['node_name', 'time'])
    return Object.values(record)[0]
  })
}

const binary = { process: { binary: '/bin/vi' } }
const bare = { pid: 64746 }

interface Row {
  readonly filters: readonly FieldFilterConfig[]
  readonly want: readonly unknown[]
}

const ROWS: Readonly<Record<string, Row>> = {
  'INCLUDE keeps only the paths': { filters: [filter('process.binary')], want: [binary, binary, binary] },
  'camel case is the same': {
    filters: [filter('process.binary, functionName')],
    want: [binary, { ...binary, function_name: 'security_file_permission' }, binary],
  },
  'an event_set is for these kinds': {
    filters: [filter('process.pid'), filter('process.binary', { event_set: ['PROCESS_EXIT'] })],
    want: [{ process: bare }, { process: bare }, { process: {} }],
  },
  'an inverted event_set is for the others': {
    filters: [
      filter('process.pid,status'),
      filter('process.pid', { ...EXCLUDE, event_set: ['PROCESS_EXIT'], invert_event_set: true }),
    ],
    want: [{ process: {} }, { process: {} }, { process: bare }],
  },
  'a longer path does not narrow a shorter one': {
    filters: [filter('process.binary,process'), filter('process.binary', EXCLUDE), filter('process.pid')],
    want: [{ process: bare }, { process: bare }, { process: bare }],
  },
  'paths go into each item of a list': {
    filters: [filter('args.file_arg.path,args.int_arg')],
    want: [{}, { args: [{ file_arg: { path: '/etc/passwd' } }, { int_arg: 2 }] }, {}],
  },
  'EXCLUDE goes into each item of a list': {
    filters: [filter('args'), filter('args.fileArg.permission', EXCLUDE)],
    want: [{}, { args: [{ file_arg: { path: '/etc/passwd' } }, { int_arg: 2 }] }, {}],
  },
  'a field that is not there is nothing': {
    filters: [filter('process.pod.name,return.long_arg')],
    want: [{ process: {} }, { process: {}, return: {} }, { process: {} }],
  },
}

describe('field filters', () => {
  for (const [name, { filters, want }] of Object.entries(ROWS)) it(name, () => assert.deepEqual(cut(...filters), want))

  it('EXCLUDE removes fields, and keeps the rest unchanged', () => {
    for (const [i, line] of linesOf(
      withFields(lines, [filter('parent,process.flags', EXCLUDE)]).encode(events),
    ).entries()) {
      const want = JSON.parse(linesOf(lines.encode(events))[i] ?? '')
      const record = Object.values(want)[0]
      assert.ok(typeof record === 'object' && record !== null && 'process' in record && 'parent' in record)
      assert.ok(typeof record.process === 'object' && record.process !== null && 'flags' in record.process)
      delete record.parent
      delete record.process.flags
      assert.equal(line, `${JSON.stringify(want)}\n`)
    }
  })

  it('keep loss records whole, unless a filter lists their fields', () => {
    const count = { number_of_dropped_process_events: '3' }
    const named: Partial<FieldFilterConfig> = { event_set: ['RATE_LIMIT_INFO'] }
    const rows: ReadonlyArray<readonly [filter: FieldFilterConfig, want: object]> = [
      [filter('process.pid'), count],
      [filter('process.pid', { event_set: ['PROCESS_EXEC'], invert_event_set: true }), count],
      [filter('process.pid', { ...named, invert_event_set: true }), count],
      [filter('numberOfDroppedProcessEvents', EXCLUDE), count],
      [filter('numberOfDroppedProcessEvents', named), count],
      [filter('process.pid', named), {}],
      [filter('number_of_dropped_process_events', { ...named, ...EXCLUDE }), {}],
    ]
    for (const [each, want] of rows) {
      const [line = ''] = linesOf(withFields(lines, [each]).encode([makeLoss({ count: 3 })]))
      assert.deepEqual(JSON.parse(line).rate_limit_info, want, JSON.stringify(each))
    }
  })

  it('leaves records about changes whole', () => {
    const [want] = linesOf(lines.encode([makeChange()]))
    for (const each of [filter('process.pid'), filter('process.pid', EXCLUDE)]) {
      assert.deepEqual(linesOf(withFields(lines, [each]).encode([makeChange()])), [want])
    }
  })

  it('keeps order, number and description of any lines', () => {
    const encoder = withFields(lines, [filter('process.arguments', EXCLUDE)])
    fc.assert(
      fc.property(anyEvents, (all) => {
        const [got, whole] = [encoder.encode(all), lines.encode(all)]
        assert.deepEqual([got.count, got.firstSeq, got.encoding], [whole.count, whole.firstSeq, 'json'])
        for (const [i, line] of linesOf(got).entries()) {
          const want: Record<string, { process?: { arguments?: string } }> = JSON.parse(linesOf(whole)[i] ?? '')
          for (const record of Object.values(want)) delete record.process?.arguments
          assert.deepEqual(JSON.parse(line), want)
        }
      }),
      { numRuns: 60 },
    )
  })
})
