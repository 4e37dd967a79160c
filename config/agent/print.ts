import { basename } from 'node:path'
import { Document, isMap, isScalar, isSeq } from 'yaml'
import type { Scalar } from 'yaml'
import * as z from 'zod'
import { printable } from '../base/quoting.ts'
import { pathKey } from './loading/explain.ts'
import type { Path } from './loading/explain.ts'
import type { Origin } from './loading/plain.ts'
import { mayBeSecret, REDACTED, shownText } from './loading/secret-keys.ts'
import type { LoadedConfig } from './load.ts'
import type { EffectiveConfig, Source } from './effective.ts'
import { exporterSchemas } from './exporters/exporters.ts'
import { configSchema } from './schema.ts'
import type { Config } from './schema.ts'

// Characters that YAML forbids, or that read as a line end or a byte order mark; the library writes some of them unescaped.
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}\ufeff]/u
const LEFT_RAW = /[\u007f-\u009f\u2028\u2029\ufeff]/g

export interface PrintOptions {
  /** Print every value, also defaults, each with its origin; else only the written values. */
  readonly effective?: boolean
  /** The effective config; default: the loaded one. */
  readonly config?: Config | EffectiveConfig
  /** Origins of effective values that are not from the config file. */
  readonly sources?: readonly Source[]
}

/**
 * A loaded config as YAML, for `ktrail config print`. `[redacted]` replaces values from a `${file:}`, possible secrets (`secret-keys.ts`) and
 * values of keys that end in `_file`. Everything else parses back to the same Config.
 */
export function printConfig(loaded: LoadedConfig, options: PrintOptions = {}): string {
  const { effective = false, config = loaded.config, sources = [] } = options
  const others = new Map(sources.map(([path, origin]) => [pathKey(path), origin]))
  const doc = new Document(effective ? writtenForm(config) : loaded.written)
  annotate(doc.contents, [], (node, path) => mark(node, path, loaded, effective ? others : undefined))
  // These characters only occur in double quotes, see annotate.
  return doc
    .toString({ lineWidth: 0 })
    .replace(LEFT_RAW, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** No checks across keys: config and variables together may contain what a config alone must not. */
const WRITTEN = z.strictObject({
  ...configSchema.shape,
  exporters: z.record(z.string(), z.union(exporterSchemas.map(({ shape }) => z.strictObject(shape)))),
})

/** A config as users write it: units as texts, every default. */
export function writtenForm(config: Config | EffectiveConfig): unknown {
  // zod's type has no readonly; encode does not write into what it is given.
  return z.encode(WRITTEN, config as z.output<typeof WRITTEN>)
}

function annotate(node: unknown, path: Path, scalar: (node: Scalar, path: Path) => void): void {
  if (isMap(node)) {
    for (const { key, value } of node.items) {
      if (isScalar(key)) annotate(value, [...path, String(key.value)], scalar)
    }
  } else if (isSeq(node)) {
    node.items.forEach((item, i) => annotate(item, [...path, i], scalar))
  } else if (isScalar(node)) {
    scalar(node, path)
  }
}

/** The value at `path` as it may be shown: a possible secret as `[redacted]`. */
export function shownValue(value: unknown, path: Path, { origins }: LoadedConfig): unknown {
  const secret = origins.get(pathKey(path))?.from === 'secret' || mayBeSecret(path)
  if (secret || String(path.at(-1)).endsWith('_file')) return REDACTED
  return typeof value === 'string' ? shownText(path, value) : value
}

/** With `others`, adds the origin as a comment. */
function mark(node: Scalar, path: Path, loaded: LoadedConfig, others?: ReadonlyMap<string, string>): void {
  const key = pathKey(path)
  const origin = loaded.origins.get(key)
  if (others !== undefined) node.comment = ` ${others.get(key) ?? (origin === undefined ? 'default' : from(origin))}`
  const shown = shownValue(node.value, path, loaded)
  if (typeof shown !== 'string') return
  // Doubled, so that it is not read back as a reference.
  const text = shown === REDACTED ? shown : shown.replaceAll('$', '$$$$')
  node.value = text
  if (UNPRINTABLE.test(text)) node.type = 'QUOTE_DOUBLE'
}

function from(origin: Origin): string {
  const { file, line: number } = origin.at
  const line = `${file === undefined ? '' : `${printable(basename(file))} `}line ${number}`
  if (origin.from === 'env') return `${line}, ${origin.variables.join(', ')}`
  return origin.from === 'secret' ? `${line}, a file` : line
}
