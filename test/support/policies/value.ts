import type { Identity } from './identity.ts'
import type { NumberType, SocketFacts } from './operators.ts'

/** An argument of a call, or a value that is resolved from it. */
export type Value = { readonly members?: Readonly<Record<string, Value>> } & (
  | {
      readonly kind: 'path'
      /** '' for a file without a path. */
      readonly text: string
      /** The whole path if it is too long for a record; `text` is its end. */
      readonly whole?: string
      /** Absent where there is no file. */
      readonly fileType?: string
      readonly identity?: Identity
    }
  | { readonly kind: 'text'; readonly text: string }
  /** Content of a buffer. */
  | { readonly kind: 'bytes'; readonly text: string }
  /** A register of 64 bits, of which the declared type reads the lower ones; or a member with its own width. */
  | { readonly kind: 'number'; readonly value: bigint; readonly width?: NumberType }
  | { readonly kind: 'socket'; readonly socket: SocketFacts }
  | { readonly kind: 'unreadable' }
)
