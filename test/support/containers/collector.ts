/** The OpenTelemetry Collector in a container; it prints each record before it answers, and the printed records can be counted. */
import { copyFile } from 'node:fs/promises'
import path from 'node:path'
import { collectorProgram } from '../otlp/collector.ts'
import type { Engine } from './engine.ts'
import { imageOf } from './images.ts'
import type { Image } from './images.ts'
import { insideAddress, Launched } from './launched.ts'
import { freePorts } from './ports.ts'

/** Version of the modules in ../otlp/collector/go.mod. */
const VERSION = '0.165.0'
const PROGRAM = 'otelcol'

/** The official image, or one that contains only the program that the tests build. */
export async function collectorImage(engine: Engine): Promise<Image> {
  const found = await collectorProgram()
  const official = `otel/opentelemetry-collector:${VERSION}`
  if ('missing' in found) return imageOf(engine, official)
  return imageOf(engine, official, {
    name: 'ktrail-test/collector',
    entrypoint: [`/${PROGRAM}`],
    // The name of the program ends in the hash of its sources.
    inputs: [path.basename(found.program)],
    fill: (folder) => copyFile(found.program, path.join(folder, PROGRAM)),
  })
}

/** Settles when it accepts connections. */
export async function startCollector(engine: Engine, image: string): Promise<Launched> {
  const [port = 0] = await freePorts(1)
  const command = ['--config', `yaml:${config(`${insideAddress(engine)}:${port}`)}`]
  return Launched.start(engine, { image, port, command, ready: /Everything is ready/ })
}

/** Without a queue an answer means that the record has been printed. */
function config(address: string): string {
  return `
receivers: { otlp: { protocols: { http: { endpoint: "${address}" } } } }
exporters: { debug: { verbosity: detailed, use_internal_logger: false, sending_queue: { enabled: false } } }
service:
  telemetry: { metrics: { level: none } }
  pipelines: { logs: { receivers: [otlp], exporters: [debug] } }
`
}

export interface Printed {
  /** Resource attribute service.name. */
  readonly service: string
  /** Attribute log.record.uid. */
  readonly uid: string
  readonly body: string
}

/** The records in the output of the collector, in order, without a record torn by a kill. */
export function printedRecords(output: string): Printed[] {
  const records: Printed[] = []
  let service = ''
  let body: string | undefined
  for (const line of output.split('\n')) {
    const [, name, value] = /^(?:Body: Str|     -> ([\w.]+): Str)\((.*)\)$/.exec(line) ?? []
    if (value === undefined) continue
    if (name === undefined) body = value
    else if (name === 'service.name') service = value
    else if (name === 'log.record.uid' && body !== undefined) {
      records.push({ service, uid: value, body })
      body = undefined
    }
  }
  return records
}
