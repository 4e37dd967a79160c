/** Questions to a kernel that may never answer. */
const PARTS = 5

/** What is left of the time, for several questions. */
export interface Patience {
  parts: number
}

export const fullPatience = (): Patience => ({ parts: PARTS })

/**
 * The answer; what `late` settles when it takes longer. In parts: an event loop that was held up for seconds has the answer, perhaps, and must first
 * get its turn.
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
