/** For tests of what a user may not do: root may do it. */
const NOBODY = 65_534

/**
 * Runs `action` as a user for whom the modes of files hold; who is not root does it as it is. What `action` imports
 * must be loaded before: the checkout may lie below a folder that only root may enter.
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
