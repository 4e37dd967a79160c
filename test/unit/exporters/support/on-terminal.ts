/**
 * Run on a terminal: writes more than the terminal takes unread, writes the outcome to the file of its first argument, then ends
 * (`end`). Or it offers the same again and writes that outcome too (`wait`).
 */
import { appendFileSync } from 'node:fs'
import { createLog } from '../../../../collector/host/log.ts'
import { createStdoutExporter } from '../../../../exporters/sinks/stdout/exporter.ts'
import { batch, lines } from './lines.ts'

const [, , path = '', how] = process.argv
const exporter = createStdoutExporter('json')
await exporter.start()
const sent = batch(lines(0, 1000, 500))
const report = (text: string): void => appendFileSync(path, `${text}\n`)
report(`${process.pid}`)
report((await exporter.send(sent, AbortSignal.timeout(200))).status)
if (how === 'wait') {
  report((await exporter.send(sent, new AbortController().signal)).status)
} else {
  const log = createLog({ level: 'info', format: 'text' })
  for (let i = 0; i < 1000; i++) log.info(`line ${i} ${'x'.repeat(500)}`)
}
report('ends')
process.exit(0)
