/** Assigns the hooks of policies to programs. */
import { CollectorError } from '../../errors.ts'
import type { PlannedHook, AttachMethod } from '../plan.ts'
import { SELECTORS_MAX, VALUE_TEXTS_MAX } from '../../wire/wire.ts'
import { Together, judgedAtReturn } from './hook.ts'

/** A function and its way of attaching, with the hooks of policies that one program serves. */
export interface Assignment {
  readonly key: string
  readonly symbol: string
  readonly way: AttachMethod
  readonly hooks: readonly PlannedHook[]
}

/**
 * The functions whose hooks change. The caller detaches functions without hooks. `full`: as for `wayOf`. Throws CollectorError
 * POLICY_REFUSED for a hook that does not even fit into a program of its own.
 */
export function assign(
  attached: ReadonlyMap<string, Assignment>,
  gone: ReadonlySet<number>,
  added: readonly PlannedHook[],
  full: ReadonlySet<string>,
): Assignment[] {
  const changed = new Map<string, Assignment & { readonly hooks: PlannedHook[] }>()
  const room = new Map<string, Together>()
  for (const { key, symbol, way, hooks } of attached.values()) {
    const left = hooks.filter(({ hook }) => !gone.has(hook.id))
    if (left.length < hooks.length) changed.set(key, { key, symbol, way, hooks: left })
  }
  for (const planned of added) {
    const { symbol, spec, load } = planned
    const way = wayOf(planned, full)
    // Nearly always the first has room.
    for (let n = 0; ; n++) {
      const fields = (way.fields ?? []).map(({ offset, bytes, kind }) => `${offset}/${bytes}${kind}`).join(',')
      // Values that one policy reads at the entry are not the values that another needs at the return.
      const late = way.mode !== 'fexit' && judgedAtReturn(spec)
      const key = `${symbol} ${load} ${way.mode} ${way.multi} ${way.returns ?? false} ${fields} ${spec.syscall} ${late} ${n}`
      const served = changed.get(key) ?? { key, symbol, way, hooks: [...(attached.get(key)?.hooks ?? [])] }
      const together = room.get(key) ?? new Together()
      if (!room.has(key)) for (const { spec: before } of served.hooks) together.add(before)
      room.set(key, together)
      if (!together.add(spec)) {
        if (served.hooks.length === 0) throw tooLarge(planned)
        continue
      }
      served.hooks.push(planned)
      changed.set(key, served)
      break
    }
  }
  return [...changed.values()]
}

function tooLarge({ hook, symbol, spec: { args, selectors, at } }: PlannedHook): CollectorError {
  return new CollectorError(
    'POLICY_REFUSED',
    `policy ${hook.policy}, line ${at.line}: the hook on "${symbol}" does not fit into one program: expected at most ${SELECTORS_MAX} selectors and ` +
      `${VALUE_TEXTS_MAX} texts and paths, got ${selectors.length} selectors and ${args.length} arguments; split it into several policies`,
  )
}

/** `full`: functions that take no more programs in their trampoline. */
export function wayOf({ way, symbol }: PlannedHook, full: ReadonlySet<string>): AttachMethod {
  return (way.mode === 'fexit' || way.mode === 'fentry') && full.has(symbol) ? { ...way, mode: 'join' } : way
}
