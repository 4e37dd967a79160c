/** Counters of live readers. The code that serves readers is in other files, because it is loaded with the first client. */
import type { Subscription } from '../../delivery/subscription.ts'

export class ReaderCounts {
  readonly #open = new Set<Subscription>()
  #sent = 0
  #lostBefore = 0

  /** Present readers. */
  get count(): number {
    return this.#open.size
  }

  /** Messages sent to readers, and events lost to readers, since the start of the agent. */
  get events(): { readonly sent: number; readonly lost: number } {
    let lost = this.#lostBefore
    for (const subscription of this.#open) lost += subscription.lost
    return { sent: this.#sent, lost }
  }

  opened(subscription: Subscription): void {
    this.#open.add(subscription)
  }

  closed(subscription: Subscription): void {
    if (this.#open.delete(subscription)) this.#lostBefore += subscription.lost
  }

  sent(): void {
    this.#sent++
  }
}
