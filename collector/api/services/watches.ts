/** Clients that watch by a policy of their own, which lives as long as the call. */
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
    const given = parsed(call.request.yaml, WATCHES)
    if (modeOf(given) === 'enforce')
      throw new ApiError('INVALID_ARGUMENT', 'expected a policy that neither sends signals nor makes calls fail')
    if (open >= MAX_WATCHES)
      throw new ApiError('RESOURCE_EXHAUSTED', `${MAX_WATCHES} clients already watch: end one of them`)
    const name = `watch-${++made}`
    const id = { source: WATCHES, namespace: given.namespace ?? '', name }
    const author = by(call.getPeer())
    const remove = async (): Promise<void> => {
      await policies.remove(id, author)
    }
    const attach = async (): Promise<AsyncDisposable> => {
      const policy = { ...given, name, private: true }
      await policies.add(id, policy, author).catch(async (error: unknown) => {
        await remove()
        throw refused(error)
      })
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
