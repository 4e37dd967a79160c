/** The delivery of an agent without exporters. */
import { pino } from 'pino'
import { Delivery } from '../../../../collector/delivery/delivery.ts'
import { LostRanges } from '../../../../collector/delivery/lost-ranges.ts'
import { EncoderPool, FanOut } from '../../../../exporters/index.ts'

export function emptyDelivery(): Delivery {
  const log = pino({ level: 'silent' })
  const context = { nodeName: 'web-1', epoch: 'e', encoders: new EncoderPool('web-1'), env: {}, log }
  return new Delivery(new FanOut([]), new LostRanges('e'), context)
}
