/** `fileDetails` of a hook: true, or a mapping that also enables hashes of contents. An addition of ours to Tetragon's language. */
import { KIB, MIB, formatSize, parseSize, unitHint } from '../../base/units.ts'
import { describe } from '../../yaml/tree.ts'
import { show } from '../../yaml/problems.ts'
import { didYouMean } from '../../yaml/suggest.ts'
import { Fields } from '../fields.ts'
import type { FileDetailsSpec } from '../policy.ts'
import { KEYS } from '../tables.ts'

const DEFAULT_BYTES = MIB
/** Bytes that the agent reads in a second: one file does not take longer. */
const MOST_BYTES = 16 * MIB

/** Undefined: only the paths of files are read. */
export function readFileDetails(fields: Fields): FileDetailsSpec | undefined {
  const place = fields.get('fileDetails')
  const at = fields.keyAt('fileDetails')
  if (place?.node.kind !== 'map') return fields.flag('fileDetails', false) ? { at } : undefined
  const own = Fields.of(place, KEYS.fileDetails)
  if (own === undefined) return undefined
  const hash = own.needText('hash', 'sha256')
  if (hash !== undefined && hash.text !== 'sha256')
    hash.refuse(`expected sha256, got ${show(hash.text)}${didYouMean(hash.text, ['sha256'])}`)
  return { at, hash: { maxBytes: readBytes(own) } }
}

function readBytes(fields: Fields): number {
  const place = fields.get('maxBytes')
  if (place === undefined) return DEFAULT_BYTES
  const { node } = place
  const text = node.kind === 'scalar' ? String(node.value) : ''
  const bytes = parseSize(text)
  if (bytes !== undefined && bytes >= 1 && bytes <= MOST_BYTES) return bytes
  const expected = `a size up to ${formatSize(MOST_BYTES)}, such as ${formatSize(64 * KIB)}`
  place.refuse(`expected ${expected}, got ${describe(node)}${unitHint(text, 'size')}`)
  return DEFAULT_BYTES
}
