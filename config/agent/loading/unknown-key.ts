/** A key that the schema does not have: the key that was meant, its place, or its spelling. */
import { asHint, suggest } from '../../yaml/suggest.ts'
import { show } from '../../yaml/problems.ts'
import type { Problems } from '../../yaml/problems.ts'
import { listed, pathText } from './explain.ts'
import { meantKey } from './meant.ts'
import type { PlainValue } from './plain.ts'

type Path = readonly PropertyKey[]

/** Adds the problem of the key at the end of `path`. The key that is meant is then not reported as missing. */
export function reportUnknownKey(path: Path, plain: PlainValue, problems: Problems): void {
  const key = String(path.at(-1))
  problems.add(plain.keyPosition(path), `${pathText(path)}: unknown key ${show(key)}${hintFor(path, key, plain)}`)
}

function hintFor(path: Path, key: string, plain: PlainValue): string {
  const mapping = path.slice(0, -1)
  const known = plain.keysAt(mapping)
  const meant = meantKey(path)
  if (meant !== undefined && (known.includes(meant) || meant.includes(' '))) {
    // A key that the hint names is not missing.
    for (const word of meant.match(/\w+/g) ?? []) if (known.includes(word)) plain.markReported([...mapping, word])
    return asHint(meant)
  }
  const [first = '', ...rest] = key.split('.')
  if (rest.length > 0 && plain.schemaAt([...mapping, ...key.split('.')]) !== undefined) {
    plain.markReported([...mapping, first])
    return `; write it as ${first}: {${rest.join('.')}: ...}`
  }
  const types = plain.typesWith(path)
  if (types.length > 0) return `; only type ${types.join(' and type ')} has it`
  const below = known.filter((each) => plain.keysAt([...mapping, each]).includes(key))
  if (below.length > 0) return `; it belongs in ${below.join(' or ')}`
  const above = mapping.slice(0, -1)
  if (mapping.length > 0 && plain.keysAt(above).includes(key)) {
    plain.markReported([...above, key])
    return `; it belongs ${above.length === 0 ? 'at the top level' : `in ${pathText(above)}`}, with less indentation`
  }
  const near = suggest(key, known)
  if (near === undefined) return `; expected one of ${listed(known)}`
  plain.markReported([...mapping, near])
  return ` (did you mean "${near}"?)`
}
