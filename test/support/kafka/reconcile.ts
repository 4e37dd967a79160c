/** Compares the records of a topic with the sent ones. */
import assert from 'node:assert/strict'
import type { ReadRecord } from './read-topic.ts'

/** Run of the agent and number within it, from the header `seq`. */
export function numberOf({ headers }: ReadRecord): { readonly epoch: string; readonly seq: number } {
  const [epoch = '', seq = ''] = (headers['seq'] ?? '').split('-')
  return { epoch, seq: Number(seq) }
}

/**
 * Checks that no event is missing, none arrived that was not sent, and each key is in order. `sent` is the number of events of each
 * run, whose numbers begin at 0. Returns the number of duplicates.
 */
export function reconcile(records: readonly ReadRecord[], sent: Readonly<Record<string, number>>): number {
  const seen = new Map(Object.keys(sent).map((epoch) => [epoch, new Set<number>()]))
  const last = new Map<string, number>()
  for (const record of records) {
    const { epoch, seq } = numberOf(record)
    const own = seen.get(epoch)
    assert.ok(own !== undefined && seq < (sent[epoch] ?? 0), `event ${epoch}-${seq} was never sent`)
    const key = `${epoch}/${record.partition}/${record.key}`
    // A duplicate may come after later events; a new event must not.
    if (!own.has(seq)) {
      assert.ok(seq > (last.get(key) ?? -1), `event ${seq} of key ${record.key} came after ${last.get(key)}`)
      last.set(key, seq)
    }
    own.add(seq)
  }
  let duplicates = records.length
  for (const [epoch, own] of seen) {
    const count = sent[epoch] ?? 0
    const missing = Array.from({ length: count }, (_, seq) => seq).filter((seq) => !own.has(seq))
    assert.deepEqual(missing.slice(0, 10), [], `${missing.length} of ${count} events of ${epoch} are missing`)
    duplicates -= count
  }
  return duplicates
}
