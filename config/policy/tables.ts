/**
 * All fields of Tetragon's policy language: those that this version supports (`own`) and those that it refuses by name (`later`).
 */
import { asHint, didYouMean, meant } from '../yaml/suggest.ts'
import keys from './data/keys.json' with { type: 'json' }

export interface KeyTable {
  /** The place of its keys, for hints about a key in another place. */
  readonly name: string
  /** Names that this version supports. */
  readonly own: readonly string[]
  /** Additions of ktrail, for files with ktrail's apiVersion. */
  readonly ours?: readonly string[]
  /** Names that Tetragon (or Kubernetes) supports and this version does not. */
  readonly later?: readonly string[]
  /** The owner of the `later` names; default Tetragon. */
  readonly owner?: string
  /** The table whose hints in config/yaml/suggestions.json it shares. */
  readonly hints?: string
}

/** By the part of a policy; `binaries` to `capabilityChanges` are the filters of a selector on processes. */
export const KEYS: Readonly<Record<keyof typeof keys, KeyTable>> = keys

/** A policy may have one of these. */
export const HOOK_SECTIONS: readonly string[] = ['kprobes', 'fentries', 'tracepoints', 'lsmhooks', 'uprobes', 'usdts']

/** Returns the hint for a key that the table does not have: the key to write, or a sentence. */
export function meantKey(key: string, { name, hints = name }: KeyTable): string | undefined {
  return meant(`policy ${hints}`, key)
}

/** For a key that the table does not have: a hint, which ends the message. */
export function keyHint(key: string, table: KeyTable): string {
  const { own, ours = [], later = [] } = table
  const known = meantKey(key, table)
  if (known !== undefined) return asHint(known)
  const home = Object.values(KEYS).find(
    (other) => other !== table && [...other.own, ...(other.ours ?? []), ...(other.later ?? [])].includes(key),
  )
  if (home !== undefined) return `; it belongs in ${home.name}`
  return didYouMean(key, [...own, ...ours, ...later]) || `; expected one of ${own.join(', ')}`
}
