import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Line, chunksOf } from '../../bench/support/replay.ts'
import { endingAt } from '../../support/recording/recording.ts'
import { synthesize } from '../../support/recording/synthetic.ts'

describe('synthetic recording', () => {
  it('recording: the same seed gives the same bytes, another seed different ones', () => {
    assert.deepEqual(synthesize(500, 7).bytes, synthesize(500, 7).bytes)
    assert.notDeepEqual(synthesize(500, 8).bytes, synthesize(500, 7).bytes)
  })

  it('recording: every record decodes, names its process and has its path', () => {
    const recording = synthesize(2_000)
    const line = new Line(recording)
    const events = chunksOf(recording).flatMap((chunk) => line.take(chunk))
    const counts = Map.groupBy(events, ({ type }) => type)
    assert.ok((counts.get('process_exec')?.length ?? 0) > 150)
    assert.ok((counts.get('process_exit')?.length ?? 0) > 20)
    assert.ok((counts.get('process_kprobe')?.length ?? 0) > 1_000)
    for (const event of events) {
      assert.notEqual(event.process.execId, '')
      assert.notEqual(event.process.binary, '')
      assert.notEqual(event.parent, undefined)
      if (event.type !== 'process_kprobe') continue
      const [file] = event.args
      assert.ok(file !== undefined && 'path' in file && /^\/etc\/.+\.conf$/.test(file.path))
      assert.deepEqual(event.returned, { kind: 'number', field: 'int_arg', value: 0 })
    }
  })

  it('recording: events get current times, the last one the current moment', () => {
    const nowMs = Date.now()
    const recording = endingAt(synthesize(2_000), nowMs)
    const line = new Line(recording)
    const events = chunksOf(recording).flatMap((chunk) => line.take(chunk))
    const times = events.map(({ time }) => time.sec * 1000 + time.nsec / 1e6)
    assert.ok(Math.min(...times) >= nowMs - recording.spanMs - 1000, 'the first')
    assert.ok(Math.abs(Math.max(...times) - nowMs) < 1000, 'the last')
  })
})
