/** The encoders of all exporters. Exporters with equal settings share one encoder and thus the encoded bytes. */
import { createCompactEncoder } from './compact.ts'
import { enveloped, extendedLines } from './enveloped.ts'
import type { KeepsNames } from './extended.ts'
import { createJsonEncoder } from './json-line.ts'
import { shareLast } from './share-last.ts'
import type { FieldFilterConfig, RedactConfig } from '../../config/agent/schema.ts'
import type { Encoder } from '../contract/exporter.ts'
import type { Numbering } from '../contract/numbering.ts'
import { fieldTest, withFields } from '../filtering/fields.ts'
import { Redactor, redacting } from '../filtering/redactor.ts'
import type { MappingOptions } from './otlp/mapping.ts'

export interface CompactLook {
  readonly color: boolean
  readonly timestamps: boolean
}

/** Options of OTLP records; `sdk` selects OpenTelemetry's serializer instead of ours. */
export interface OtlpRecords extends MappingOptions {
  readonly protocol: 'protobuf' | 'json'
  readonly sdk: boolean
}

/** Redaction (before encoding) and field filters (after it), as configured. */
export interface Shape {
  readonly redact?: readonly RedactConfig[] | undefined
  readonly fields?: readonly FieldFilterConfig[] | undefined
}

/** The form of an exporter's JSON lines. */
export interface Lines {
  readonly numbering: Numbering
  readonly envelope: boolean
  readonly extended: boolean
}

/** The keys of an exporter's config that OTLP records depend on: exporters with equal values share an encoder. */
const OTLP_OPTIONS: Record<Exclude<keyof OtlpRecords, 'numbering' | 'hasAttribute'>, true> = {
  body: true,
  severity: true,
  arg_labels: true,
  pod_labels: true,
  command_line: true,
  file_details: true,
  event_name_attribute: true,
  epoch: true,
  protocol: true,
  sdk: true,
}
const OTLP_NAMES = Object.keys(OTLP_OPTIONS) as Array<keyof typeof OTLP_OPTIONS>

const always = (): boolean => true
const NAMES = [
  ['args', 'file_arg', 'path'],
  ['args', 'path_arg', 'path'],
  ['args', 'string_arg'],
]

/** The key of the encoder that other encoders share. */
const LINES = 'lines'

export class EncoderPool {
  readonly #nodeName: string
  readonly #fields: readonly FieldFilterConfig[]
  readonly #redactor: Redactor | undefined
  readonly #made = new Map<string, Encoder>()
  readonly #shaped = new Map<string, EncoderPool>()

  /** `warn` receives warnings about slow regular expressions. Throws ExportError UNUSABLE for an invalid shape. */
  constructor(nodeName: string, { redact = [], fields = [] }: Shape = {}, warn: (problem: string) => void = () => {}) {
    this.#nodeName = nodeName
    this.#fields = fields
    this.#redactor = redact.length === 0 ? undefined : new Redactor(redact, warn)
  }

  /** The pool for this shape; exporters share encoders within it. */
  shaped(shape: Shape, warn: (problem: string) => void): EncoderPool {
    const { redact = [], fields = [] } = shape
    if (redact.length === 0 && fields.length === 0) return this
    const key = JSON.stringify([redact, fields])
    let pool = this.#shaped.get(key)
    if (pool === undefined) this.#shaped.set(key, (pool = new EncoderPool(this.#nodeName, shape, warn)))
    return pool
  }

  /** Forgets the encoders that are not in use: reloads with other settings would leave theirs, and their regular expressions. */
  keepOnly(used: ReadonlySet<Encoder>): void {
    for (const [key, encoder] of this.#made) if (key !== LINES && !used.has(encoder)) this.#made.delete(key)
    for (const [key, pool] of this.#shaped) {
      pool.keepOnly(used)
      if (pool.size === 0) this.#shaped.delete(key)
    }
  }

  /** Number of encoders that it keeps for exporters. */
  get size(): number {
    const own = [...this.#made.keys()].filter((key) => key !== LINES).length
    return [...this.#shaped.values()].reduce((sum, pool) => sum + pool.size, own)
  }

  /** JSON lines, shared with OTLP records that have them as body. */
  json(): Encoder {
    return this.#get('json', () => this.#redacting(this.#lines()))
  }

  /** JSON lines for one exporter: with its numbers (`envelope`), and with the additions of the format `extended`. */
  linesFor({ numbering, envelope, extended }: Lines): Encoder {
    const keepsNames = extended ? this.#keepsNames() : undefined
    if (envelope) {
      return this.#get(`envelope ${numbering.exporter} ${extended}`, () =>
        this.#redacting(enveloped(this.#lines(), numbering, keepsNames)),
      )
    }
    if (keepsNames === undefined) return this.json()
    return this.#get('extended', () => this.#redacting(extendedLines(this.#lines(), keepsNames)))
  }

  /** Whether records keep the names of files: their details may have them too. */
  #keepsNames(): KeepsNames {
    if (this.#fields.length === 0) return always
    const leaves = fieldTest(this.#fields)
    return (type) => NAMES.every((field) => leaves(type, field))
  }

  compact(look: CompactLook): Encoder {
    return this.#get(`compact ${JSON.stringify(look)}`, () =>
      this.#redacting(createCompactEncoder({ nodeName: this.#nodeName, ...look })),
    )
  }

  /** Loaded on first use, because OpenTelemetry's packages take memory. */
  async otlp(records: OtlpRecords): Promise<Encoder> {
    const make = await otlpEncoder(records)
    const { attributeTest } = await import('./otlp/attribute-filter.ts')
    const filter = this.#fields.length === 0 ? {} : { hasAttribute: attributeTest(this.#fields) }
    const options = JSON.stringify(OTLP_NAMES.map((name) => records[name]))
    return this.#get(`otlp ${records.numbering?.exporter} ${options}`, () =>
      this.#redacting(make({ ...records, ...filter, json: this.#lines() })),
    )
  }

  /** JSON lines without redaction, for encoders that redact around it. */
  #lines(): Encoder {
    return this.#get(LINES, () => {
      const lines = createJsonEncoder({ nodeName: this.#nodeName })
      return shareLast(this.#fields.length === 0 ? lines : withFields(lines, this.#fields))
    })
  }

  #redacting(encoder: Encoder): Encoder {
    return this.#redactor === undefined ? encoder : redacting(encoder, this.#redactor)
  }

  #get(key: string, make: () => Encoder): Encoder {
    const encoder = this.#made.get(key) ?? make()
    this.#made.set(key, encoder)
    return encoder
  }
}

async function otlpEncoder({
  protocol,
  sdk,
}: OtlpRecords): Promise<(options: MappingOptions & { json: Encoder }) => Encoder> {
  if (sdk) {
    const { createSdkEncoder, createSdkJsonEncoder } = await import('./otlp/sdk.ts')
    return protocol === 'json' ? createSdkJsonEncoder : createSdkEncoder
  }
  if (protocol === 'json') return (await import('./otlp/json-encode.ts')).createOtlpJsonEncoder
  return (await import('./otlp/encode.ts')).createOtlpEncoder
}
