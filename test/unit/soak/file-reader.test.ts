import assert from 'node:assert/strict'
import { appendFileSync, renameSync } from 'node:fs'
import { it } from 'node:test'
import { Account } from '../../soak/account.ts'
import { FileReader, NUMBERS } from '../../soak/file-reader.ts'
import { Folder } from '../exporters/support/folder.ts'

/** Writes the number as the agent of the soak does: digits as protojson prints them. */
function lineOf(number: number): string {
  const nanos = String(123 * NUMBERS + (number % NUMBERS)).padStart(9, '0')
  return `{"process_exec":{},"time":"2026-11-24T14:03:09.${nanos.replace(/(?:000)+$/, '')}Z"}\n`
}

it('file reader: reads lines in pieces, over rotations, and counts missing and repeated numbers', () => {
  using folder = new Folder()
  const path = folder.at('events.jsonl')
  const account = new Account()
  using reader = new FileReader(path, account)
  reader.read()
  const torn = lineOf(1)
  appendFileSync(path, lineOf(0) + torn.slice(0, 20))
  reader.read()
  assert.equal(account.distinct, 1)
  appendFileSync(path, torn.slice(20) + lineOf(2))
  renameSync(path, folder.at('events-1.jsonl'))
  appendFileSync(path, lineOf(3) + lineOf(3) + lineOf(5))
  reader.read()
  assert.deepEqual([account.distinct, account.duplicates, account.missing(6)], [5, 1, 1])
})

it('file reader: numbers continue beyond the range of the digits', () => {
  using folder = new Folder()
  const account = new Account()
  using reader = new FileReader(folder.at('events.jsonl'), account)
  const numbers = Array.from({ length: 30 }, (_, i) => i * 100_000)
  appendFileSync(folder.at('events.jsonl'), numbers.map(lineOf).join(''))
  reader.read()
  assert.deepEqual([account.distinct, account.duplicates, account.late], [30, 0, 0])
  assert.equal(account.missing(2_900_001), 2_900_001 - 30)
})

for (const { name, text } of [
  { name: 'is no event', text: 'nonsense\n' },
  { name: 'has no time', text: '{"process_exec":{}}\n' },
  { name: 'has lost its beginning', text: lineOf(0).slice(5) },
  { name: 'is torn and followed by another', text: `${lineOf(0).slice(0, 30)}\n${lineOf(1)}` },
]) {
  it(`file reader: throws for a line that ${name}`, () => {
    using folder = new Folder()
    using reader = new FileReader(folder.at('events.jsonl'), new Account())
    appendFileSync(folder.at('events.jsonl'), text)
    assert.throws(() => reader.read(), /^Error: expected an event/)
  })
}

it('file reader: throws for a rotated file that ends within a line', () => {
  using folder = new Folder()
  const path = folder.at('events.jsonl')
  using reader = new FileReader(path, new Account())
  appendFileSync(path, lineOf(0).slice(0, 30))
  reader.read()
  renameSync(path, folder.at('events-1.jsonl'))
  appendFileSync(path, lineOf(1))
  assert.throws(() => reader.read(), /^Error: a rotated file ends in a torn line/)
})
