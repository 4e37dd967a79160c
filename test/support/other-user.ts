/** For tests of the limits of an ordinary user: root may do everything. */
const NOBODY = 65_534

/**
 * Runs `action` as a user for whom file modes hold; a process that is not root runs it unchanged. The modules of `action`
 * must be loaded before: the checkout may be in a folder that only root may enter.
 */
export async function asNobody<T>(action: () => T | Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0) return action()
  process.seteuid?.(NOBODY)
  try {
    return await action()
  } finally {
    process.seteuid?.(0)
  }
}
