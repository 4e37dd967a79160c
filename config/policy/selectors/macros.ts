/** `spec.selectorsMacros`: parts of selectors, which selectors name in `macros`. */
import { didYouMean } from '../../yaml/suggest.ts'
import { show } from '../../yaml/problems.ts'
import type { Position, Problems } from '../../yaml/problems.ts'
import { describe } from '../../yaml/tree.ts'
import type { MapEntry, MapNode, TreeNode } from '../../yaml/tree.ts'
import { Fields, Place, asList, asText } from '../fields.ts'
import { KEYS } from '../tables.ts'

export const MAX_MACROS = 64
/** Most YAML values of macros at all places that name one; bounds the time of a policy that names a long macro often. */
const MAX_COPIED = 65_536

const MACROS = 'macros'
const LABEL = 'label'

export class Macros {
  readonly #macros = new Map<string, MapNode>()
  readonly #unused = new Map<string, Position>()
  #copied = 0

  /** Reads the names. The contents of a macro are checked where a selector names it: only there its arguments are known. */
  static of(spec: Fields): Macros {
    const macros = new Macros()
    const place = spec.get('selectorsMacros')
    if (place === undefined) return macros
    const { node, path } = place
    if (node.kind !== 'map') {
      place.refuse(`expected a mapping from names to selectors, got ${describe(node)}`)
      return macros
    }
    if (node.entries.size > MAX_MACROS) {
      place.refuse(`expected at most ${MAX_MACROS} macros, got ${node.entries.size}`)
    }
    for (const [name, { value, keyAt }] of node.entries) {
      const macro = new Place(value, `${path}.${name}`, spec.problems)
      if (Fields.of(macro, KEYS.macro) === undefined || value.kind !== 'map') continue
      macros.#macros.set(name, value)
      macros.#unused.set(name, keyAt)
    }
    return macros
  }

  /** The selector with the fields of the macros that it names; a field that comes twice is a problem. */
  into(selector: Place): Place {
    const { node, path } = selector
    if (node.kind !== 'map') return selector
    const named = node.entries.get(MACROS)?.value
    if (named === undefined) return selector
    const entries = new Map<string, MapEntry>(node.entries)
    const from = new Map<string, string>()
    for (const place of asList(new Place(named, `${path}.${MACROS}`, selector.problems), MAX_MACROS)) {
      const name = asText(place)
      if (name === undefined) continue
      for (const [field, entry] of this.#find(name, place)) {
        const other = from.get(field)
        // Tetragon: the selector's label wins, else the first macro's.
        if (field === LABEL && entries.has(field)) continue
        if (!entries.has(field)) {
          entries.set(field, entry)
          from.set(field, name)
          continue
        }
        const where = other === undefined ? 'the selector' : `macro ${show(other)}`
        place.refuse(`macro ${show(name)} has ${field}, and ${where} has it too; remove one`)
      }
    }
    return new Place({ ...node, entries }, path, selector.problems)
  }

  /** Most likely a selector should name it. */
  warnOfUnused(problems: Problems): void {
    for (const [name, at] of this.#unused) {
      problems.warn(at, `spec.selectorsMacros.${name}: no selector uses it in macros`)
    }
  }

  #find(name: string, place: Place): Iterable<[string, MapEntry]> {
    this.#unused.delete(name)
    const macro = this.#macros.get(name)
    if (macro !== undefined) {
      this.#copied += valuesIn(macro)
      if (this.#copied <= MAX_COPIED) return macro.entries
      place.refuse(`expected at most ${MAX_COPIED} values of macros at all places that name one; split the policy`)
      return []
    }
    const names = [...this.#macros.keys()]
    const known = names.length === 0 ? 'the policy has no selectorsMacros' : `the policy has ${names.join(', ')}`
    place.refuse(`no macro is named ${show(name)}; ${known}${didYouMean(name, names)}`)
    return []
  }
}

function valuesIn(node: TreeNode): number {
  if (node.kind === 'scalar') return 1
  const below = node.kind === 'list' ? node.items : [...node.entries.values()].map(({ value }) => value)
  return below.reduce((sum, each) => sum + valuesIn(each), 1)
}
