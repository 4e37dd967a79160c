/**
 * A running agent takes a changed config: by the watch and by SIGHUP, as a whole or not at all. SIGUSR1 harms no start, and reopens files. The kernel
 * plays records; test/e2e/api.test.ts has a reload and a start under SIGUSR1 on a real one.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { TestAgent, cannotReplay, hostFolder } from '../../e2e/support/agent.ts'
import { fileHook, path, policy } from '../../e2e/support/policy.ts'

interface Status {
  readonly policies: ReadonlyArray<{ readonly name: string }>
  readonly config: {
    readonly reloads: Readonly<Record<string, number>>
    readonly last_refused?: { readonly reason: string }
  }
}

const skip = cannotReplay()

test(
  'reload: an exporter and bundles are added and removed, a mistake changes nothing, and /status shows it',
  { skip },
  async () => {
    const watched = '/watched/f'
    const quiet = join(hostFolder('quiet'), 'quiet.jsonl')
    await using agent = await TestAgent.start({
      replayed: true,
      policies: { 'p.yaml': policy('reload', [fileHook([path('Prefix', '/watched/')])]) },
      // No event is written to this file, so only a reopen makes it again.
      exporters: { quiet: { type: 'file', path: quiet, filter: { event_types: ['events_lost'] } } },
      sigusr1: true,
    })
    assert.deepEqual(agent.ports(), [Number(agent.port)])
    renameSync(quiet, `${quiet}.1`)
    process.kill(agent.pid, 'SIGUSR1')
    await agent.until('a new file after SIGUSR1', () => existsSync(quiet))
    const file = join(agent.folder, 'config.yaml')
    const config = JSON.parse(readFileSync(file, 'utf8'))
    const change = (exporters: object, rest: object = {}): void =>
      writeFileSync(file, JSON.stringify({ ...config, ...rest, exporters: { ...config.exporters, ...exporters } }))
    const status = async (): Promise<Status> =>
      (await (await fetch(`http://127.0.0.1:${agent.port}/status`)).json()) as Status
    const reloads = async (result: string): Promise<number> => (await status()).config.reloads[result] ?? 0

    const more = join(agent.folder, 'more.jsonl')
    change({ more: { type: 'file', path: more, batch: { max_wait: '20ms' } } })
    await agent.until('the watch has found the exporter', async () => (await reloads('applied')) === 1)
    await agent.runs(['/bin/cat'], watched)
    await agent.until('it writes', () => readFileSync(more, 'utf8').includes(watched))
    change({}, { ring: { size: '32MiB' } })
    await agent.until('the ring is refused', async () => (await reloads('refused')) === 1)
    assert.match(
      (await status()).config.last_refused?.reason ?? '',
      /config\.yaml:1:\d+: ring\.size: requires a restart/,
    )
    // The played kernel lacks functions, so it may refuse policies: these are listed, too.
    const library = async (): Promise<string[]> =>
      (await status()).policies.map(({ name }) => name).filter((name) => name !== 'reload')
    assert.deepEqual(await library(), [])
    change({}, { policies: [...config.policies, 'library:pcl'] })
    await agent.until('an unknown bundle is refused', async () => (await reloads('refused')) === 2)
    assert.match(
      (await status()).config.last_refused?.reason ?? '',
      /config\.yaml:1:\d+: policies\[1\]: the library has no policy or bundle "pcl" \(did you mean "pci"\?\)/,
    )
    change({}, { policies: [...config.policies, 'library:pci', 'library:cis'] })
    await agent.until('the bundles are loaded', async () => (await library()).includes('sudoers-pam'))
    assert.equal(new Set(await library()).size, (await library()).length)
    change({})
    process.kill(agent.pid, 'SIGHUP')
    await agent.until('it is removed', async () => (await reloads('applied')) === 3)
    assert.deepEqual(await library(), [])
    assert.ok((await fetch(`http://127.0.0.1:${agent.port}/readyz`)).ok)
    assert.equal((await agent.stop()).code, 0, JSON.stringify(agent.log().slice(-5)))
  },
)
