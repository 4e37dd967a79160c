/** The door of the OTLP exporter, without the exporter itself: that is loaded when wanted. */
export { resolveOtlpOptions, resolveOtlpResource } from './env.ts'
export type { OtlpConfigValues, ResolvedOtlp, ResolvedResource } from './env.ts'
export type { OtlpDeps, OtlpOptions } from './exporter.ts'
export { LOKI_LIMITS } from './loki/limits.ts'
export type { LokiLimits } from './loki/limits.ts'
