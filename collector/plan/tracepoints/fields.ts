/** Fields of a tracepoint's event, as the kernel side reads them. */
import { EVENT_FIELD, FIELDS } from '../../wire/wire.ts'

/** `struct event_field` of bpf/frame/hook.h. */
export interface EventField {
  readonly offset: number
  readonly bytes: number
  readonly kind: keyof typeof FIELDS
}

/** Stands for a parameter that is no field. */
export const NO_FIELD: EventField = { offset: 0, bytes: 0, kind: 'unsigned' }

/** Every event begins with fields of the kernel's own, every register has bytes. */
export const isField = ({ offset, bytes }: EventField): boolean => offset + bytes > 0

/** The bytes of `hook.fields`. */
export function fieldBytes(fields: readonly EventField[]): Buffer {
  const bytes = Buffer.alloc(fields.length * EVENT_FIELD.bytes)
  fields.forEach(({ offset, bytes: size, kind }, i) => {
    const at = i * EVENT_FIELD.bytes
    bytes.writeUInt16LE(offset, at + EVENT_FIELD.offset)
    bytes[at + EVENT_FIELD.width] = size
    bytes[at + EVENT_FIELD.kind] = FIELDS[kind]
  })
  return bytes
}
