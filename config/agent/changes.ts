/** Differences between two configs, key by key. */
import { effectiveConfig } from './effective.ts'
import type { LoadedConfig } from './load.ts'
import { problemAt } from './load.ts'
import { pathKey, pathText } from './loading/explain.ts'
import type { Path } from './loading/explain.ts'
import type { Environment } from './loading/substitute.ts'
import { shownValue, writtenForm } from './print.ts'
import type { Problem } from '../yaml/problems.ts'
import { show } from '../yaml/problems.ts'

/** A key with another effective value. Values are as a user would write them, without secrets; undefined: none. */
export interface Change {
  readonly path: Path
  /** Such as `exporters.bus.topic`. */
  readonly key: string
  readonly from: string | undefined
  readonly to: string | undefined
}

interface Leaf {
  readonly path: Path
  /** As JSON. */
  readonly value: string
  readonly shown: string
}

/** All changes of effective values. */
export function changesOf(before: LoadedConfig, after: LoadedConfig, env: Environment): Change[] {
  const old = leavesOf(before, env)
  const now = leavesOf(after, env)
  return [...new Set([...old.keys(), ...now.keys()])].flatMap((id) => {
    const from = old.get(id)
    const to = now.get(id)
    const path = (to ?? from)?.path ?? []
    // A mapping or list that was filled or emptied: its content is the change.
    const isEmpty = EMPTY.includes((to ?? from)?.value ?? '')
    const isFilled = isEmpty && hasBelow(id, from === undefined ? old : now)
    return from?.value === to?.value || isFilled
      ? []
      : [{ path, key: pathText(path), from: from?.shown, to: to?.shown }]
  })
}

/** A mapping or list with nothing in it is a leaf. */
const EMPTY: readonly string[] = ['{}', '[]']

const hasBelow = (id: string, leaves: ReadonlyMap<string, Leaf>): boolean =>
  leaves.keys().some((other) => other.startsWith(`${id.slice(0, -1)},`))

/** Keys that take effect while the agent runs, with all below them. */
const AT_RUN_TIME: readonly string[] = [
  'exporters',
  'policies',
  'log.level',
  'memory.soft_limit',
  'memory.hard_limit',
  'shutdown',
]

/** A problem for each change that needs a restart of the agent. */
export function restartProblems(changes: readonly Change[], after: LoadedConfig, file: string): Problem[] {
  return changes
    .filter(({ path }) => !AT_RUN_TIME.some((key) => `${path.join('.')}.`.startsWith(`${key}.`)))
    .map(({ path, from, to }) => {
      const values = `now ${from ?? 'nothing'}, here ${to ?? 'nothing'}`
      return problemAt(after, file, path, `requires a restart of the agent (${values}): restart it, or set it back`)
    })
}

function leavesOf(loaded: LoadedConfig, env: Environment): Map<string, Leaf> {
  const leaves = new Map<string, Leaf>()
  const add = (value: unknown, path: Path): void => {
    if (value === undefined) return
    const entries = typeof value === 'object' && value !== null ? Object.entries(value) : []
    if (entries.length > 0) {
      for (const [key, below] of entries) add(below, [...path, Array.isArray(value) ? Number(key) : key])
      return
    }
    leaves.set(pathKey(path), { path, value: JSON.stringify(value), shown: shownLeaf(value, path, loaded) })
  }
  add(writtenForm(effectiveConfig(loaded.config, env).config), [])
  return leaves
}

function shownLeaf(value: unknown, path: Path, loaded: LoadedConfig): string {
  const shown = shownValue(value, path, loaded)
  return typeof shown === 'string' ? show(shown) : JSON.stringify(shown)
}
