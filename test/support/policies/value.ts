import type { Identity } from './identity.ts'
import type { NumberType, SocketFacts } from './operators.ts'

/** An argument of a call, or what it leads to. */
export type Value = { readonly members?: Readonly<Record<string, Value>> } & (
  | {
      readonly kind: 'path'
      /** '' for a file without a path. */
      readonly text: string
      /** Of a path that is too long for a record, of which `text` is the end. */
      readonly whole?: string
      /** Absent where there is no file. */
      readonly fileType?: string
      readonly identity?: Identity
    }
  | { readonly kind: 'text'; readonly text: string }
  /** Of a buffer. */
  | { readonly kind: 'bytes'; readonly text: string }
  /** A register: 64 bits, of which the declared type reads the lower ones; or of a member those that it has. */
  | { readonly kind: 'number'; readonly value: bigint; readonly width?: NumberType }
  | { readonly kind: 'socket'; readonly socket: SocketFacts }
  | { readonly kind: 'unreadable' }
)
