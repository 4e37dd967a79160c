import { ExportError, textOf } from '../../contract/errors.ts'
import type { Clock } from '../../../config/base/time/clock.ts'

/** Generous, because no step waits for a sink. Without a limit one package could keep the agent from starting. */
const LIMIT_MS = 10_000

/** The steps of a package's start, with the prefix of its error messages. */
const STEPS = { load: 'cannot load the package: ', 'make its exporter': '', start: 'cannot start: ' } as const

/**
 * The result of `work` of the package `type`. Rejects with ExportError: UNUSABLE with the package's error, TIMEOUT if it takes too
 * long; a later result is ignored.
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
        `${type}: did not ${step} within ${LIMIT_MS / 1000} s: it must not wait for its sink; ` +
        'report it to the authors of the package'
      reject(new ExportError('TIMEOUT', message))
    })
    new Promise<T>((settle) => settle(work()))
      .finally(cancel)
      .then(resolve, (cause: unknown) =>
        reject(new ExportError('UNUSABLE', `${type}: ${STEPS[step]}${textOf(cause)}`, cause)),
      )
  })
}
