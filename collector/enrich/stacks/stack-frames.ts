/**
 * Stacks of addresses → frames with names. An event gets its frames at once. Their names are filled in while the event waits in the
 * enrichment stage (`Enrichment`): symbols of the kernel nearly always at once, symbols of programs after a read of their mapped files.
 */
import type { HookEvent, ProcessEvent, StackFrame } from '../../../exporters/contract/event.ts'
import type { Policy } from '../../../config/policy/policy.ts'
import { hasStacks } from '../../ingest/hooks.ts'
import type { FrameSource } from '../../ingest/normalize.ts'
import type { Enricher } from '../enrichment.ts'
import type { KernelFunction, KernelSymbols } from './kernel-symbols.ts'
import type { UserCode } from './user-code.ts'

type Frame = { -readonly [K in keyof StackFrame]: StackFrame[K] }

export interface StackFramesOptions {
  readonly kernel: Pick<KernelSymbols, 'remembered' | 'find'> & { load(): Promise<unknown> }
  readonly user: Pick<UserCode, 'find'>
  /** Whether frames have their addresses. */
  readonly addresses: boolean
}

interface PendingStack {
  readonly frames: Frame[]
  readonly addresses: readonly number[]
  readonly resolve: () => void
}

/** Stacks of programs that wait; more of them get no names. */
const MAX_WAITING = 4096
/** Looked up together. */
const MAX_TOGETHER = 32
/** Most frames above the hooked function: the program that takes the stack, and its callers. */
const MAX_ABOVE = 8

export class StackFrames implements Enricher, FrameSource {
  readonly #options: StackFramesOptions
  readonly #promises = new WeakMap<readonly StackFrame[], Promise<unknown>>()
  /** By process. */
  readonly #waiting = new Map<number, PendingStack[]>()
  #waitingCount = 0
  #looking = false
  #unsettled = 0

  constructor(options: StackFramesOptions) {
    this.#options = options
  }

  /** Reads the symbols of the kernel if one of these policies has stacks, so that they are ready for the first stack. */
  async loadFor(policies: readonly Policy[]): Promise<void> {
    if (policies.some(({ hooks }) => hooks.some(hasStacks))) await this.#options.kernel.load()
  }

  /** `hooked`: the function that the frames called. A list without addresses makes no stack. */
  framesOf(
    pid: number,
    hooked: string,
    kernel: readonly bigint[],
    user: readonly bigint[],
  ): Pick<HookEvent, 'kernelStack' | 'userStack'> {
    const kernelStack = kernel.map((address) => this.#frame(address))
    const userStack = user.map((address) => this.#frame(address))
    if (kernel.length > 0) this.#nameKernel(kernelStack, kernel, hooked)
    if (user.length > 0) this.#nameUser(userStack, user, pid)
    return { ...(kernel.length === 0 ? {} : { kernelStack }), ...(user.length === 0 ? {} : { userStack }) }
  }

  /** Nothing is looked up now. */
  get idle(): boolean {
    return this.#unsettled === 0
  }

  pending(event: ProcessEvent): Promise<unknown> | undefined {
    if (!('hook' in event)) return undefined
    const { kernelStack, userStack } = event
    const kernel = kernelStack && this.#promises.get(kernelStack)
    return kernel ?? (userStack && this.#promises.get(userStack))
  }

  #frame(address: bigint): Frame {
    return { address: this.#options.addresses ? address : 0n, offset: 0, symbol: '', module: '' }
  }

  #nameKernel(frames: Frame[], addresses: readonly bigint[], hooked: string): void {
    const { kernel } = this.#options
    const remembered = kernel.remembered(addresses)
    const name = (found: readonly KernelFunction[]): void => {
      frames.forEach((frame, i) => Object.assign(frame, found[i]))
      const at = frames.findIndex(({ symbol }) => symbol === hooked)
      if (at > 0 && at <= MAX_ABOVE) frames.splice(0, at)
    }
    if (remembered === undefined) this.#await(frames, kernel.find(addresses).then(name))
    else name(remembered)
  }

  #nameUser(frames: Frame[], addresses: readonly bigint[], pid: number): void {
    if (this.#waitingCount >= MAX_WAITING) {
      this.#await(frames, Promise.reject(new Error('too many stacks wait')))
      return
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    const asked = { frames, addresses: addresses.map(Number), resolve }
    const others = this.#waiting.get(pid)
    if (others === undefined) this.#waiting.set(pid, [asked])
    else others.push(asked)
    this.#waitingCount++
    this.#await(frames, promise)
    void this.#look()
  }

  #await(frames: readonly StackFrame[], promise: Promise<unknown>): void {
    this.#unsettled++
    this.#promises.set(frames, promise)
    const settled = promise.finally(() => this.#unsettled--)
    settled.then(
      () => this.#promises.delete(frames),
      () => {},
    )
  }

  /** One process at a time, with its stacks that wait. */
  async #look(): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const [pid, list] = next
      const found = await this.#options.user.find(
        pid,
        list.flatMap(({ addresses }) => addresses),
      )
      let at = 0
      for (const { frames, addresses, resolve } of list) {
        frames.forEach((frame, i) => Object.assign(frame, found[at + i]))
        at += addresses.length
        resolve()
      }
    }
    this.#looking = false
  }

  #next(): [number, PendingStack[]] | undefined {
    for (const [pid, list] of this.#waiting) {
      this.#waiting.delete(pid)
      const rest = list.splice(MAX_TOGETHER)
      // Behind the other processes.
      if (rest.length > 0) this.#waiting.set(pid, rest)
      this.#waitingCount -= list.length
      return [pid, list]
    }
    return undefined
  }
}
