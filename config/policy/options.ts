/** `spec.options`: how a policy is run; no option changes which calls match. */
import { didYouMean } from '../yaml/suggest.ts'
import { show } from '../yaml/problems.ts'
import { Fields, notSupported } from './fields.ts'
import { KEYS } from './tables.ts'

export const MAX_OPTIONS = 16
/** Go's strconv.ParseBool. */
const BOOLEAN = /^(?:1|t|T|true|TRUE|True|0|f|F|false|FALSE|False)$/

/** Values by option; undefined: any. */
const OPTIONS: ReadonlyMap<string, RegExp> = new Map([
  ['disable-kprobe-multi', BOOLEAN],
  ['disable-uprobe-multi', BOOLEAN],
  ['policy-mode', /^(?:enforce|monitor)$/],
])

const LATER: readonly string[] = ['override-method', 'sleepable-preload-size']

export interface PolicyModes {
  /** Each function gets a kprobe of its own. */
  readonly singleProbes: boolean
  /** No signals are sent; records name them all the same. */
  readonly monitors: boolean
}

export function readOptions(spec: Fields): PolicyModes {
  let [singleProbes, monitors] = [false, false]
  for (const place of spec.list('options', MAX_OPTIONS)) {
    const fields = Fields.of(place, KEYS.option)
    const named = fields?.needText('name', `one of ${[...OPTIONS.keys()].join(', ')}`)
    const value = fields?.textAt('value')?.text
    if (fields === undefined || named === undefined) continue
    const name = named.text
    const allowed = OPTIONS.get(name)
    if (LATER.includes(name)) named.refuse(notSupported('option', name))
    // Tetragon ignores it without a word.
    else if (allowed === undefined) {
      named.warn(`unknown option ${show(name)} is ignored${didYouMean(name, [...OPTIONS.keys(), ...LATER])}`)
    } else if (value !== undefined && !allowed.test(value)) {
      const expected = allowed === BOOLEAN ? 'true or false' : 'enforce or monitor'
      fields.refuse('value', `expected ${expected}, got ${show(value)}`)
    } else if (name === 'disable-kprobe-multi') {
      singleProbes = /^(?:1|t)/i.test(value ?? '')
    } else if (name === 'policy-mode') {
      monitors = value === 'monitor'
    }
  }
  return { singleProbes, monitors }
}
