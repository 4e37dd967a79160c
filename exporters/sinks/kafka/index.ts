/** The door of the Kafka exporter, without its client library: that is loaded with `exporter.ts` when wanted. */
export type { KafkaDeps } from './exporter.ts'
export { DEFAULT_KAFKA_OPTIONS } from './options.ts'
export type { KafkaOptions } from './options.ts'
