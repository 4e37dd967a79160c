/** KTRAIL_LONG=1: tests take minutes, with the counts that found a defect, and with each sink. `make long` and `make nightly` set it. */
export const LONG: boolean = process.env['KTRAIL_LONG'] === '1'

/** Why a long test does not run now; false if it does. */
export const SKIP_LONG: string | false = LONG ? false : 'takes minutes; KTRAIL_LONG=1 runs it'
