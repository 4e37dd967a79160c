/** Lines of `ktrail watch`: `12:03:04 read      /etc/passwd  pid 812 uid 0  /usr/bin/head -n1 /etc/passwd`. */
import { oneLine } from '../../../config/base/quoting.ts'
import { describeKprobe } from '../../../exporters/index.ts'
import type { Process } from '../../../exporters/contract/event.ts'
import { toEvent } from '../../api/events/to-event.ts'
import type { GetEventsResponse } from '../../proto/tetragon/events_pb.js'

export function watchLine(message: GetEventsResponse): string | undefined {
  const event = toEvent(message)
  if (event?.type !== 'process_kprobe') return undefined
  const { label, details } = describeKprobe(event)
  const time = new Date(event.time.sec * 1000).toTimeString().slice(0, 8)
  const { count = 1 } = event.aggregate ?? {}
  const shown = [...details, ...(count === 1 ? [] : [`(${count} times)`])].join(' ')
  return `${oneLine(`${time} ${label.padEnd(9)} ${shown}  ${processText(event.process)}`)}\n`
}

function processText({ pid, uid, binary, arguments: args, pod, container }: Process): string {
  const place = pod === undefined ? container?.name : `${pod.namespace}/${pod.name}`
  const where = place === undefined ? '' : ` in ${place}`
  return `pid ${pid} uid ${uid}${where}  ${binary} ${args}`.trimEnd()
}
