/** `ktrail/testing`: the tests that every exporter passes, also for exporters of other packages. */
export { testContext } from './context.ts'
export { contract } from './contract.ts'
export type { Harness, Stall } from './harness.ts'
export { Silence } from './silence.ts'
export { idsOf, lines, numbers } from './lines.ts'
