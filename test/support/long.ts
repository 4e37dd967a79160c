/** KTRAIL_LONG=1: tests take minutes, with the counts that found a defect, and with each sink. `make long` and `make nightly` set it. */
export const LONG: boolean = process.env['KTRAIL_LONG'] === '1'

/** Why a long test does not run now; false if it does. */
export const SKIP_LONG: string | false = LONG ? false : 'takes minutes; KTRAIL_LONG=1 runs it'

/**
 * Why part `part` of `parts` does not run today; false if it does. For a table whose rows run the same test in several ways, each for long: `make test`
 * takes one part a day, all of them in `parts` days, and KTRAIL_LONG=1 takes every part.
 */
export function notToday(part: number, parts: number, day = Math.floor(Date.now() / 86_400_000)): string | false {
  const today = day % parts
  return LONG || part === today ? false : `part ${today + 1} of ${parts} runs today; KTRAIL_LONG=1 runs all`
}
