/** Requests to a kernel or file system that may never answer. */
const PARTS = 5

/** The rest of the time for several requests. */
export interface Patience {
  parts: number
}

export const fullPatience = (): Patience => ({ parts: PARTS })

/**
 * The answer, or the value that `late` settles if it takes longer. The time has parts: an event loop that was held up for seconds may have
 * the answer already, and must first get its turn.
 */
export async function inTime<T, L>(
  answer: Promise<T>,
  deadlineMs: number,
  late: (over: PromiseWithResolvers<L>) => void,
  patience: Patience = fullPatience(),
): Promise<T | L> {
  const over = Promise.withResolvers<L>()
  const timer = setInterval(() => {
    if (--patience.parts > 0) return
    clearInterval(timer)
    late(over)
  }, deadlineMs / PARTS)
  try {
    return await Promise.race([answer, over.promise])
  } finally {
    clearInterval(timer)
  }
}
