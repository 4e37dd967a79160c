import { trimMemory } from '../../native/index.ts'

const EVERY_MS = 10_000

/**
 * Gives freed memory back to the system now and then, until disposed of: loading BPF takes megabytes of the kernel's type information for
 * a moment, and so does a backlog that is sent. A low threshold for mmap would do so at once, but costs page faults with every buffer.
 */
export function trimRegularly(): Disposable {
  const timer = setInterval(trimMemory, EVERY_MS).unref()
  return { [Symbol.dispose]: () => clearInterval(timer) }
}
