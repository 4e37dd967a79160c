/**
 * Run on a terminal: writes more than that takes unread, says in the file of its first argument what became of it, then ends (`end`),
 * or offers the same again and says so too (`wait`).
 */
import { appendFileSync } from 'node:fs'
import { createLog } from '../../../../collector/telemetry/log.ts'
import { createStdoutExporter } from '../../../../exporters/sinks/stdout/exporter.ts'
import { batch, lines } from './lines.ts'

const [, , path = '', how] = process.argv
const exporter = createStdoutExporter('json')
await exporter.start()
const sent = batch(lines(0, 1000, 500))
const say = (text: string): void => appendFileSync(path, `${text}\n`)
say(`${process.pid}`)
say((await exporter.send(sent, AbortSignal.timeout(200))).status)
if (how === 'wait') {
  say((await exporter.send(sent, new AbortController().signal)).status)
} else {
  const log = createLog({ level: 'info', format: 'text' })
  for (let i = 0; i < 1000; i++) log.info(`line ${i} ${'x'.repeat(500)}`)
}
say('ends')
process.exit(0)
