/** Warnings about filters by pods: only where pods are not known. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { configOrThrow } from '../../../../../config/agent/check.ts'
import { loadConfig } from '../../../../../config/agent/load.ts'
import { configWarnings } from '../../../../../config/agent/warnings.ts'

const FILTERS: ReadonlyArray<readonly [filter: string, key: string | undefined]> = [
  ['{pods: [web]}', 'pods'],
  ['{namespaces: [default]}', 'namespaces'],
  ['{namespaces: [""]}', undefined],
  ['{health_checks: drop}', 'health_checks'],
  ['{deny: [{pid: [1]}, {labels: [app]}]}', 'deny[1].labels'],
  ['{allow: [{container_name_regex: [side]}]}', 'allow[0].container_name_regex'],
  ['{allow: [{container_id: [a]}]}', undefined],
]

for (const [filter, key] of FILTERS) {
  for (const pods of [false, true]) {
    test(`pods: ${filter} ${pods ? 'with' : 'without'} kubernetes.pods`, async () => {
      const text = `kubernetes: {pods: ${pods}}\nexporters: {a: {type: stdout, filter: ${filter}}}\n`
      const warnings = await configWarnings(configOrThrow(loadConfig(text, 'c.yaml', {})), 'c.yaml')
      const want =
        pods || key === undefined ? [] : [`exporters.a.filter.${key}: pods are not known without kubernetes.pods`]
      assert.deepEqual(
        warnings.map(({ message }) => message.split(': every')[0]),
        want,
      )
    })
  }
}
