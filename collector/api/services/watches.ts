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

/** Each has programs in the kernel. */
const MAX_WATCHES = 8

export function addWatches(
  methods: Methods,
  policies: Pick<Policies, 'add' | 'remove'>,
  readers: Pick<Readers, 'watch'>,
): void {
  let made = 0
  let open = 0
  methods.serverStream(Watches.method.watch, async (call) => {
    const { yaml, estimate } = call.request
    const whole = parsed(yaml, WATCHES)
    const given = estimate ? estimating(whole, true) : whole
    if (modeOf(given) === 'enforce')
      throw new ApiError('INVALID_ARGUMENT', 'expected a policy that neither sends signals nor makes calls fail')
    if (open >= MAX_WATCHES)
      throw new ApiError(
        'RESOURCE_EXHAUSTED',
        `${MAX_WATCHES} policies of clients already watch: end one of them, or estimate fewer at once`,
      )
    const name = `watch-${++made}`
    const id = { source: WATCHES, namespace: given.namespace ?? '', name }
    const author = by(call.getPeer())
    const remove = async (): Promise<void> => {
      await policies.remove([id], author)
    }
    const attach = async (): Promise<AsyncDisposable> => {
      const add = (policy: Policy): Promise<void> =>
        policies.add(id, { ...policy, name, private: true }, author).catch(async (error: unknown) => {
          await remove()
          throw refused(error)
        })
      // Before Linux 5.17, the kernel cannot count.
      await (estimate ? add(given).catch(() => add(estimating(whole, false))) : add(given))
      return { [Symbol.asyncDispose]: remove }
    }
    open++
    try {
      await readers.watch(call, name, attach)
    } finally {
      open--
    }
  })
}
