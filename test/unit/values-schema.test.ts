/** The chart has the agent's schema for exporters and config. By helm: test/integration-host/kubernetes/chart.test.ts. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { configDefinitions } from '../../deploy/helm/write-values-schema.ts'

test('values: the chart has the schema of the config (else: node deploy/helm/write-values-schema.ts, npm run format)', () => {
  const file = new URL('../../deploy/helm/ktrail/values.schema.json', import.meta.url)
  const { $defs } = JSON.parse(readFileSync(file, 'utf8')) as { $defs: unknown }
  assert.deepEqual($defs, configDefinitions())
})
