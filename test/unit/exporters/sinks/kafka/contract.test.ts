import { Silence, contract } from '../../../../../exporters/testing/index.ts'
import { idsOf } from '../../support/lines.ts'
import { kafkaExporter } from './support/config.ts'
import { fault, FakeClient } from './support/fake-client.ts'

// The second writes two records for each request, so that requests fail within a batch.
for (const change of [{}, { max_request_size: 1100 }]) {
  contract('kafka', () => {
    const client = new FakeClient()
    let failures = 0
    let silence: Silence | undefined
    const kinds = ['retry', 'moved', 'reset'] as const
    client.plan = async () => {
      await silence?.pass()
      return failures > 0 ? fault(kinds[failures-- % kinds.length] ?? 'retry') : undefined
    }
    return {
      exporter: kafkaExporter(change, { makeClient: () => client }),
      ids: () =>
        idsOf(
          client
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
