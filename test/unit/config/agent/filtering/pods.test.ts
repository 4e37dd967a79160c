/** Warnings about filters by pods and containers, only if the agent does not know these. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { configOrThrow } from '../../../../../config/agent/check.ts'
import { loadConfig } from '../../../../../config/agent/load.ts'
import { configWarnings } from '../../../../../config/agent/warnings.ts'

const FILTERS: ReadonlyArray<readonly [filter: string, key: string | undefined, needs: 'pods' | 'containers']> = [
  ['{pods: [web]}', 'pods', 'pods'],
  ['{workloads: [web]}', 'workloads', 'pods'],
  ['{namespaces: [default]}', 'namespaces', 'pods'],
  ['{namespaces: [""]}', undefined, 'pods'],
  ['{health_checks: drop}', 'health_checks', 'pods'],
  ['{containers: [web], pods: [web]}', 'pods', 'pods'],
  ['{allow: [{pod_regex: [side], labels: [app]}]}', 'allow[0].pod_regex', 'pods'],
  ['{deny: [{pid: [1]}, {labels: [app]}]}', 'deny[1].labels', 'containers'],
  ['{allow: [{container_name_regex: [side]}]}', 'allow[0].container_name_regex', 'containers'],
  ['{images: [nginx]}', 'images', 'containers'],
  ['{allow: [{container_id: [a]}]}', undefined, 'containers'],
]
const MESSAGES = {
  pods: 'without kubernetes.pods, every process counts as outside of pods, with namespace ""',
  containers: 'no event matches, because names, images and labels of containers require kubernetes.pods or containers',
}
const CONFIGS: ReadonlyArray<readonly [config: string, knows: ReadonlyArray<'pods' | 'containers'>]> = [
  ['kubernetes: {pods: true}', ['pods', 'containers']],
  ['containers: {}', ['containers']],
  ['kubernetes: {pods: false}', []],
]

for (const [filter, key, needs] of FILTERS) {
  for (const [config, knows] of CONFIGS) {
    test(`pods: ${filter} with ${config}`, async () => {
      const text = `${config}\nexporters: {a: {type: stdout, filter: ${filter}}}\n`
      const warnings = await configWarnings(configOrThrow(loadConfig(text, 'c.yaml', {})), 'c.yaml')
      assert.deepEqual(
        warnings.map(({ message }) => message.split('; set ')[0]),
        key === undefined || knows.includes(needs) ? [] : [`exporters.a.filter.${key}: ${MESSAGES[needs]}`],
      )
    })
  }
}
