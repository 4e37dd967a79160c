/** Clients that watch by a policy of their own, which lives as long as the call. */
import { estimating } from '../../../config/policy/selectors/aggregate.ts'
import type { Policy } from '../../../config/policy/policy.ts'
import { Watches } from '../../proto/ktrail/watches_pb.js'
import { modeOf } from '../../policies/registry.ts'
import type { Policies } from '../../policies/registry.ts'
import { ApiError } from '../errors.ts'
import type { Readers } from '../events/readers.ts'
import type { Methods } from '../rpc.ts'
import { WATCHES, by, parsed, refused } from './policies.ts'

/** Each has programs in the kernel. A client may watch by all policies of a bundle; readers.ts bounds all together. */
const MAX_CLIENTS = 8
/** Functions that are attached first: their events come while the others are loaded. */
const FIRST = 4

export function addWatches(
  methods: Methods,
  policies: Pick<Policies, 'add' | 'remove'>,
  readers: Pick<Readers, 'watch'>,
): void {
  let made = 0
  /** Open watches of each client. */
  const clients = new Map<string, number>()
  methods.serverStream(Watches.method.watch, async (call) => {
    const { yaml, estimate } = call.request
    const asGiven = parsed(yaml, WATCHES)
    const given = estimate ? estimating(asGiven, true) : asGiven
    if (modeOf(given) === 'enforce')
      throw new ApiError('INVALID_ARGUMENT', 'expected a policy that neither sends signals nor makes calls fail')
    const peer = call.getPeer()
    const open = clients.get(peer) ?? 0
    if (open === 0 && clients.size >= MAX_CLIENTS)
      throw new ApiError(
        'RESOURCE_EXHAUSTED',
        `${MAX_CLIENTS} clients already watch by policies of their own: end one of them`,
      )
    const name = `watch-${++made}`
    const names = [name, `${name}-more`]
    const ids = names.map((each) => ({ source: WATCHES, namespace: given.namespace ?? '', name: each }))
    const author = by(peer)
    const remove = async (): Promise<void> => {
      await policies.remove(ids, author)
    }
    const add = async (policy: Policy): Promise<void> => {
      const parts = estimate ? [policy] : partsOf(policy)
      try {
        for (const [i, id] of ids.entries()) {
          const part = parts[i]
          if (part !== undefined) await policies.add(id, { ...part, name: id.name, private: true }, author)
        }
      } catch (error) {
        await remove()
        throw refused(error)
      }
    }
    const attach = async (): Promise<AsyncDisposable> => {
      // Before Linux 5.17, the kernel cannot count.
      await (estimate ? add(given).catch(() => add(estimating(asGiven, false))) : add(given))
      return { [Symbol.asyncDispose]: remove }
    }
    clients.set(peer, open + 1)
    try {
      await readers.watch(call, names, attach)
    } finally {
      const left = (clients.get(peer) ?? 0) - 1
      if (left > 0) clients.set(peer, left)
      else clients.delete(peer)
    }
  })
}

/** The first functions of a policy and the others, as two policies; one, if a group or a function has hooks in both. */
function partsOf(policy: Policy): readonly Policy[] {
  const first = policy.hooks.slice(0, FIRST)
  const rest = policy.hooks.slice(FIRST)
  const calls = new Set(first.map(({ call }) => call))
  const groups = Object.groupBy(policy.groups, (group) => {
    const inFirst = group.calls.filter((call) => calls.has(call)).length
    return inFirst === 0 ? 'rest' : inFirst === group.calls.length ? 'first' : 'both'
  })
  if (rest.length === 0 || groups.both !== undefined || rest.some(({ call }) => calls.has(call))) return [policy]
  return [
    { ...policy, hooks: first, groups: groups.first ?? [] },
    { ...policy, hooks: rest, groups: groups.rest ?? [] },
  ]
}
