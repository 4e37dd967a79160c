/** The hook of a container runtime: its report to the agent; it ends in time whatever is wrong, with a sentence in its log. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { ociHook } from '../../../../collector/cli/oci-hook.ts'
import type { Announced } from '../../../../collector/identity/announced.ts'
import { Folder } from '../../exporters/support/folder.ts'
import { Rig } from '../api/support/rig.ts'
import { fakeSocket } from '../runtimes/support/sockets.ts'

const ID = '0123456789abcdef'.repeat(4)
const UID = '1c9a7f0e-5f6d-4a6e-9a55-0d1c4f0b8a11'

interface Bundle {
  readonly folder: Folder
  readonly state: string
  /** Runs the hook; returns its log. */
  run(server: string, input?: AsyncIterable<Uint8Array> | string, timeoutMs?: number): Promise<string>
}

/** A bundle as containerd makes it, and the process of its container. */
function bundle(config: unknown = { root: { path: 'rootfs' }, annotations: ANNOTATIONS }): Bundle {
  const folder = new Folder()
  writeFileSync(folder.at('config.json'), JSON.stringify(config))
  mkdirSync(folder.at('proc/7'), { recursive: true })
  writeFileSync(folder.at('proc/7/cgroup'), `0::/kubepods/pod${UID}/${ID}\n`)
  const state = JSON.stringify({ ociVersion: '1.0.2', id: ID, status: 'created', pid: 7, bundle: folder.path })
  const log = folder.at('log/hook.log')
  return {
    folder,
    state,
    async run(server, input = state, timeoutMs = 10_000) {
      const source = typeof input === 'string' ? chunks(input) : input
      await ociHook({ input: source, server, log, timeoutMs, procfs: folder.at('proc') })
      try {
        return readFileSync(log, 'utf8')
      } catch {
        return ''
      }
    },
  }
}

const ANNOTATIONS = {
  'io.kubernetes.cri.container-type': 'container',
  'io.kubernetes.cri.container-name': 'main',
  'io.kubernetes.cri.sandbox-uid': UID,
  'io.kubernetes.long': 'x'.repeat(1 << 20),
  'example.org/large': 'x'.repeat(1 << 20),
}

async function* chunks(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text)
}

async function* endless(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('{')
  await new Promise(() => {})
}

test('oci-hook: the agent knows container, cgroup and pod before the hook ends', async () => {
  await using rig = await Rig.start()
  const { folder, run } = bundle()
  using _ = folder
  const came: Announced[] = []
  rig.announced.listen((announced) => void came.push(announced))
  assert.equal(await run(`unix://${rig.path}`), '')
  assert.deepEqual(came, [
    {
      id: ID,
      cgroup: `/kubepods/pod${UID}/${ID}`,
      podUid: UID,
      container: { id: `containerd://${ID}`, name: 'main', image: '', imageId: '', privileged: false },
    },
  ])
})

const WRONG: ReadonlyArray<readonly [what: string, input: string, sentence: RegExp]> = [
  [
    'nothing on standard input',
    '',
    /a container starts without an announcement to the agent: reading the state of the container: /,
  ],
  ['a state without a pid', JSON.stringify({ id: ID, bundle: '/' }), /reading the state of the container: /],
  [
    'a bundle that is not there',
    JSON.stringify({ id: ID, pid: 7, bundle: '/none' }),
    /reading \/none\/config.json: ENOENT/,
  ],
  ['too much on standard input', ' '.repeat((1 << 20) + 1), /expected at most 1048576 bytes/],
]
for (const [what, input, sentence] of WRONG) {
  test(`oci-hook: ${what} is a line in its log`, async () => {
    const { folder, run } = bundle()
    using _ = folder
    const log = await run('unix:///none', input)
    assert.match(log, sentence)
    assert.equal(log.trimEnd().split('\n').length, 1)
  })
}

test('oci-hook: without an agent, and with a hanging one, it ends in time', async (t) => {
  const { folder, run } = bundle()
  using _ = folder
  assert.match(
    await run(`unix://${folder.at('none')}`),
    new RegExp(`container ${ID} starts without .*asking unix:.*ENOENT`),
  )
  const path = await fakeSocket(t, () => {})
  assert.match(
    (await run(`unix://${path}`, undefined, 1000)).split('\n')[1] ?? '',
    /asking unix:.* not finished within 1 s/,
  )
  assert.match(
    (await run(`unix://${path}`, endless(), 100)).split('\n')[2] ?? '',
    /reading the state .* not finished within 0.1 s/,
  )
})

test('oci-hook: its log starts again at a megabyte', async () => {
  const { folder, run } = bundle()
  using _ = folder
  mkdirSync(folder.at('log'))
  writeFileSync(folder.at('log/hook.log'), 'x'.repeat((1 << 20) + 1))
  assert.ok((await run('unix:///none')).length < 1000)
  assert.ok(statSync(folder.at('log/hook.log.1')).size > 1 << 20)
})

test('oci-hook: an unwritable log does not prevent a start', async () => {
  await ociHook({ input: chunks(''), server: 'unix:///none', log: '/proc/none/x/y' })
})

/** A module that lists each module that is loaded after it. */
const LISTS = `import { registerHooks } from 'node:module'
registerHooks({ load: (url, context, next) => (console.error(url), next(url, context)) })`

test('oci-hook: a container does not wait for zod or gRPC to be loaded', () => {
  using folder = new Folder()
  const main = new URL('../../../../collector/main.ts', import.meta.url).pathname
  const flags = ['--import', `data:text/javascript,${encodeURIComponent(LISTS)}`]
  const { stderr, status } = spawnSync(process.execPath, [...flags, main, 'oci-hook', '--log', folder.at('log')])
  assert.equal(status, 0)
  const loaded = stderr.toString().split('\n')
  assert.ok(loaded.some((url) => url.endsWith('/cli/oci-hook.ts')))
  assert.deepEqual(
    loaded.filter((url) => /\/node_modules\/(?!@bufbuild\/)/.test(url)),
    [],
  )
})
