/** The API on a real kernel: a policy comes and goes while `ktrail events` reads. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { FineGuidanceSensors } from '../../collector/api/proto/tetragon/sensors_pb.js'
import { ApiClient, DEFAULT_SERVER } from '../../collector/api/client.ts'
import { TestAgent, cannotRun, freshFolder } from './support/agent.ts'
import { fileHook, path, policy } from './support/policy.ts'

const skip = cannotRun()
if (skip !== false) console.log(`api: skipped: ${skip}`)

const KTRAIL = fileURLToPath(new URL('../../ktrail', import.meta.url))

describe('api', { skip }, () => {
  it('a policy that is added over the API reports accesses to a live reader until it is deleted', async () => {
    const folder = freshFolder('api')
    const file = join(folder, 'secret')
    writeFileSync(file, 'x')
    await using agent = await TestAgent.start()
    using client = new ApiClient(DEFAULT_SERVER)
    const { method } = FineGuidanceSensors
    const yaml = policy('secret', [fileHook([path('Prefix', folder)])])
    await client.call(method.addTracingPolicy, { yaml })

    const reader = spawn(KTRAIL, ['events', '-o', 'compact'], { stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    reader.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
    const reading = async (count: number): Promise<boolean> =>
      (await agent.metrics()).sum('ktrail_api_readers') === count
    try {
      await agent.until('the reader to be connected', () => reading(1))
      const cat = (): void => void execFileSync('cat', [file])
      cat()
      await agent.until('the read to be shown', () => /📚 read {4}\S+ \S*cat \S+secret\n/.test(text))
      const { policies } = await client.call(method.listTracingPolicies, {})
      const [only] = policies.filter(({ domain }) => domain === 'grpc')
      assert.equal(only?.name, 'secret')
      assert.ok((only?.stats?.actionCounters?.post ?? 0n) >= 1n)

      await client.call(method.deleteTracingPolicy, { name: 'secret' })
      await agent.settled()
      await agent.until('the exit of the first cat to be shown', () => /💥 exit {4}\S+ \S*cat /.test(text))
      text = ''
      cat()
      await agent.until('the exit of the second cat to be shown', () => /💥 exit {4}\S+ \S*cat /.test(text))
      assert.doesNotMatch(text, /📚/)
    } finally {
      reader.kill()
    }
    await agent.until('the reader to be gone', () => reading(0))
    assert.equal((await agent.metrics()).sum('ktrail_api_lost_events_total'), 0)
  })
})
