/** Exporters of the real agent that share the events by severity and tag, also after a reload of filters and policies. The kernel plays records. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { TestAgent, cannotReplay, hostFolder } from '../../e2e/support/agent.ts'
import { fileHook, path, policy } from '../../e2e/support/policy.ts'

const skip = cannotReplay()

const watches = (name: string, tags: readonly string[]): string =>
  policy(name, [{ ...fileHook([path('Prefix', `/w/${name}/`)]), tags }])

test(
  'filter: two exporters share all events by severity, and take changed tags and limits at a reload',
  { skip },
  async () => {
    const folder = hostFolder('filters')
    const file = (name: string): string => join(folder, `${name}.jsonl`)
    const exporter = (name: string, filter: object): object => ({
      [name]: { type: 'file', path: file(name), batch: { max_wait: '20ms' }, filter },
    })
    /** Name of the policy, or key of the record. Programs of the test itself are left out. */
    const kinds = (name: string): Set<string> => {
      const lines = readFileSync(file(name), 'utf8').split('\n').slice(0, -1)
      const events = lines.map((line): Record<string, { policy_name?: string; process?: { binary: string } }> =>
        JSON.parse(line),
      )
      return new Set(
        events.flatMap((event) =>
          Object.entries(event).flatMap(
            ([key, value]) => value?.policy_name ?? (key.startsWith('process_') ? key : []),
          ),
        ),
      )
    }
    await using agent = await TestAgent.start({
      replayed: true,
      policies: {
        'worst.yaml': watches('worst', ['pci', 'severity.critical']),
        'low.yaml': watches('low', ['severity.low', 'pci.x']),
        'plain.yaml': watches('plain', []),
      },
      exporters: {
        ...exporter('pager', { severity: '>= high' }),
        ...exporter('rest', { severity: '< high' }),
        ...exporter('pci', { tags: ['pci*'] }),
      },
    })
    const all = async (mark: string): Promise<void> => {
      for (const name of ['worst', 'low', 'plain']) await agent.runs(['/bin/cat'], `/w/${name}/${mark}`)
      const files = (): string => ['pager', 'rest', 'pci'].map((name) => readFileSync(file(name), 'utf8')).join('')
      for (const name of ['worst', 'low', 'plain'])
        await agent.until(`an event of ${name}`, () => files().includes(`/w/${name}/${mark}`))
      await agent.settled()
    }
    await all('a')
    await agent.until(
      'exec and exit events',
      () => kinds('rest').has('process_exec') && kinds('rest').has('process_exit'),
    )
    assert.deepEqual(kinds('pager'), new Set(['worst']))
    assert.deepEqual(kinds('rest'), new Set(['low', 'plain', 'process_exec', 'process_exit']))
    await agent.until('both events with a tag', () => kinds('pci').size === 2)
    assert.deepEqual(kinds('pci'), new Set(['worst', 'low']))

    // The severity of a policy, then the limit of an exporter.
    writeFileSync(join(agent.policies, 'plain.yaml'), watches('plain', ['severity.critical']))
    await agent.until('the changed policy', async () => {
      await agent.runs(['/bin/cat'], '/w/plain/b')
      return kinds('pager').has('plain')
    })
    const config = join(agent.folder, 'config.yaml')
    const { exporters, ...others } = JSON.parse(readFileSync(config, 'utf8'))
    writeFileSync(
      config,
      JSON.stringify({ ...others, exporters: { ...exporters, ...exporter('pager', { severity: 'low' }) } }),
    )
    await agent.until('the changed filter', async () => {
      await agent.runs(['/bin/cat'], '/w/low/c')
      return kinds('pager').has('low')
    })
  },
)
