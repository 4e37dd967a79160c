import assert from 'node:assert/strict'
import { appendFileSync, renameSync } from 'node:fs'
import { it } from 'node:test'
import { Account } from '../../soak/account.ts'
import { FileReader } from '../../soak/file-reader.ts'
import { Folder } from '../exporters/support/folder.ts'

/** As the file exporter writes it with `envelope: true`. */
const lineOf = (number: number): string =>
  `{"process_exec":{},"node_name":"n","time":"t","ktrail":{"seq":"00ab-${number}","exporter_seq":"archive-${number}"}}\n`

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

for (const { name, text } of [
  { name: 'is no event', text: 'nonsense\n' },
  { name: 'has no number', text: '{"process_exec":{}}\n' },
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
