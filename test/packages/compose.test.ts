/** docker compose 2 reads deploy/compose/compose.yaml, and fills in its variables. No daemon is needed. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { test } from 'node:test'
import { z } from 'zod'
import { ROOT } from '../support/guest/fresh-root.ts'

const UNAVAILABLE = 69
const CONFIG = z.object({
  services: z.record(z.string(), z.object({ image: z.string(), cap_add: z.array(z.string()).optional() })),
})

test('compose: docker compose accepts the file, with images of other registries too', (t) => {
  const run = spawnSync(
    path.join(ROOT, 'test/support/compose.sh'),
    ['--file', path.join(ROOT, 'deploy/compose/compose.yaml'), 'config', '--format', 'json'],
    { encoding: 'utf8', env: { ...process.env, KTRAIL_IMAGE: 'registry.example/ktrail:9' } },
  )
  if (run.status === UNAVAILABLE) return t.skip(run.stderr.trim())
  assert.equal(run.status, 0, run.stderr)
  assert.doesNotMatch(run.stderr, /warn|obsolete/i)
  const { services } = CONFIG.parse(JSON.parse(run.stdout))
  assert.deepEqual(Object.keys(services).toSorted(), ['grafana', 'kafka', 'ktrail', 'loki', 'prometheus', 'topics'])
  assert.equal(services['ktrail']?.image, 'registry.example/ktrail:9')
  assert.deepEqual(services['ktrail']?.cap_add, ['BPF', 'PERFMON', 'SYS_PTRACE', 'SYSLOG'])
})
