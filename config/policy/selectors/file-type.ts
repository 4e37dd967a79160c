/** The operators `FileType` and `NotFileType`: the type of an argument's file, even of one without a path. */
import { asText } from '../fields.ts'
import type { Place } from '../fields.ts'
import { asHint, didYouMean, meant, notOneOf } from '../../yaml/suggest.ts'
import { show } from '../../yaml/problems.ts'

/** Tetragon's names, with the bits of a mode for this type (include/uapi/linux/stat.h S_IFMT). */
const FILE_TYPES: ReadonlyMap<string, bigint> = new Map([
  ['sock', 0o140000n],
  ['socket', 0o140000n],
  ['lnk', 0o120000n],
  ['link', 0o120000n],
  ['reg', 0o100000n],
  ['regular', 0o100000n],
  ['blk', 0o060000n],
  ['block', 0o060000n],
  ['dir', 0o040000n],
  ['chr', 0o020000n],
  ['char', 0o020000n],
  ['fifo', 0o010000n],
  ['pipe', 0o010000n],
])

function hintOf(text: string, names: readonly string[]): string {
  const known = meant('file type', text.replaceAll(/[\s_-]/g, ''))
  return known === undefined ? didYouMean(text, names) : asHint(known)
}

/** The values of a filter; wrong ones are reported and left out. */
export function readFileTypes(places: readonly Place[]): bigint[] {
  const found = places.flatMap((place) => {
    const text = asText(place)
    if (text === undefined) return []
    const type = FILE_TYPES.get(text)
    if (type !== undefined) return [type]
    const names = [...FILE_TYPES.keys()]
    const hint = hintOf(text, names)
    place.refuse(notOneOf(names, show(text), hint, 'file type'))
    return []
  })
  return [...new Set(found)]
}
