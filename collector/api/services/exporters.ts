/** Live readers of the records that one exporter is offered. */
import { create, toBinary } from '@bufbuild/protobuf'
import { show } from '../../../config/yaml/problems.ts'
import { didYouMean } from '../../../config/yaml/suggest.ts'
import type { ApiOptions } from '../options.ts'
import { Exporters, TapResponseSchema } from '../../proto/ktrail/exporters_pb.js'
import { ApiError } from '../errors.ts'
import type { Methods } from '../rpc.ts'
import { Sending } from '../sending.ts'

/** Each tap copies the records that it reads. */
const MAX_TAPS = 8

export function addExporters(methods: Methods, delivery: ApiOptions['delivery']): void {
  methods.serverStream(Exporters.method.tap, async (call) => {
    const { exporter } = call.request
    const names = delivery.fanout.routes.map(({ sender }) => sender.name)
    if (!names.includes(exporter)) {
      const others = names.length === 0 ? '; it has none' : `: expected one of ${names.join(', ')}`
      const hint = didYouMean(exporter, names) || others
      throw new ApiError('NOT_FOUND', `the agent has no exporter ${show(exporter)}${hint}`)
    }
    if (delivery.tapCount >= MAX_TAPS) {
      throw new ApiError('RESOURCE_EXHAUSTED', `${MAX_TAPS} clients already tap exporters: end one of them`)
    }
    const { tap, close } = delivery.tap(exporter)
    call.once('cancelled', close)
    try {
      const sending = new Sending(call)
      for await (const { encoded, lost } of tap) {
        const { encoding, bytes, ends } = encoded
        const message = create(TapResponseSchema, { encoding, records: bytes, ends: [...ends], lost: BigInt(lost) })
        await sending.write(toBinary(TapResponseSchema, message))
      }
    } finally {
      close()
    }
  })
}
