/** `ktrail/testing`: the test that every exporter passes, for those of other packages too. */
export { testContext } from './context.ts'
export { contract } from './contract.ts'
export type { Harness, Stall } from './harness.ts'
export { Silence } from './silence.ts'
export { idsOf, lines, numbers } from './lines.ts'
