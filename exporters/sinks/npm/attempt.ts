import { ExportError, textOf } from '../../contract/errors.ts'
import type { Clock } from '../../runtime/clock.ts'

/** None of the steps waits for a sink, so this is for slow disks: without a limit, one package keeps the agent from starting. */
const LIMIT_MS = 10_000

/** What a package is asked for at the start, and what stands before its own words when it fails. */
const STEPS = { load: 'cannot load the package: ', 'make its exporter': '', start: 'cannot start: ' } as const

/**
 * What `work` of the package `type` gives. Rejects with ExportError: UNUSABLE with what the package threw, TIMEOUT when it takes
 * too long; what it then still does is nobody's.
 */
export function attempt<T>(
  type: string,
  step: keyof typeof STEPS,
  work: () => T | PromiseLike<T>,
  clock: Clock,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(LIMIT_MS, () => {
      const message =
        `${type}: did not ${step} within ${LIMIT_MS / 1000} s: expected it not to wait for its sink; ` +
        'report it to the makers of the package'
      reject(new ExportError('TIMEOUT', message))
    })
    new Promise<T>((settle) => settle(work()))
      .finally(cancel)
      .then(resolve, (cause: unknown) =>
        reject(new ExportError('UNUSABLE', `${type}: ${STEPS[step]}${textOf(cause)}`, cause)),
      )
  })
}
