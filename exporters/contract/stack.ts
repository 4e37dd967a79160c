/** Unknown members are empty or 0. Resolved after the event is made, and before it is delivered: `collector/enrich/stacks`. */
export interface StackFrame {
  /** 0 unless the config requests addresses. */
  readonly address: bigint
  /** In the kernel from the start of the function; else from the start of the file `module`. */
  readonly offset: number
  /** The function. */
  readonly symbol: string
  /** The mapped file; '' in the kernel. */
  readonly module: string
}
