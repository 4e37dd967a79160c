import { NativeError } from '../../../native/index.ts'

/** False if the map is full, frozen by another process, or closed: the agent stops. */
export function attempt(change: () => unknown): boolean {
  try {
    return change() !== false
  } catch (error) {
    if (!(error instanceof NativeError)) throw error
    return false
  }
}
