import { KafkaExporter } from '../../../../../exporters/sinks/kafka/exporter.ts'
import type { KafkaOptions } from '../../../../../exporters/sinks/kafka/options.ts'
import { DEFAULT_KAFKA_OPTIONS } from '../../../../../exporters/sinks/kafka/options.ts'
import { Silence, contract } from '../../../../../exporters/testing/index.ts'
import { idsOf } from '../../support/lines.ts'
import { fault, FakeDriver } from './support/fake-driver.ts'

// The second writes two records a request, so that requests fail in the middle of a batch.
for (const maxRequestBytes of [DEFAULT_KAFKA_OPTIONS.maxRequestBytes, 1100]) {
  contract('kafka', () => {
    const driver = new FakeDriver()
    let failures = 0
    let silence: Silence | undefined
    const kinds = ['retry', 'moved', 'reset'] as const
    driver.plan = async () => {
      await silence?.pass()
      return failures > 0 ? fault(kinds[failures-- % kinds.length] ?? 'retry') : undefined
    }
    const names = { brokers: ['b:9092'], topic: 'events', nodeName: 'n', epoch: 'e' }
    const options: KafkaOptions = { ...DEFAULT_KAFKA_OPTIONS, ...names, maxRequestBytes }
    return {
      exporter: new KafkaExporter(options, { makeDriver: () => driver }),
      ids: () =>
        idsOf(
          driver
            .lines()
            .map((line) => `${line}\n`)
            .join(''),
        ),
      fail: (calls) => (failures = calls),
      stall: () => (silence = new Silence()),
      [Symbol.dispose]: () => undefined,
    }
  })
}
