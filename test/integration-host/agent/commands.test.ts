/**
 * The commands against the real agent on a kernel that plays records: their output, and the events of the agent afterwards. test/e2e/api.test.ts has
 * some of them on a real kernel.
 */
import assert from 'node:assert/strict'
import { chmodSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { asNobody } from '../../support/other-user.ts'
import { typed } from '../../unit/collector/cli/support/terminal.ts'
import { TestAgent, cannotReplay, hostFolder } from '../../e2e/support/agent.ts'
import { fileHook, path, policy } from '../../e2e/support/policy.ts'
import type { Line } from '../../e2e/support/record.ts'
import { Documented } from './support/documented.ts'
import { Live } from './support/live.ts'

const skip = cannotReplay()
if (skip !== false) console.log(`commands: skipped: ${skip}`)

const SHIPPED = fileURLToPath(new URL('../../../config/policies/optional/file-monitoring.yaml', import.meta.url))

interface Listed {
  readonly name: string
  readonly state: string
  readonly source: string
  readonly hits: number
  readonly error: string
  readonly hooks: ReadonlyArray<{ readonly function: string; readonly attached: string | null }>
}

interface Audited {
  readonly runs: ReadonlyArray<{
    readonly records: number
    readonly told: ReadonlyArray<{ readonly first: number; readonly last: number }>
    readonly untold: readonly unknown[]
  }>
}

test('commands', { skip }, async (t) => {
  const folder = hostFolder('commands')
  const watched = '/watched/w/'
  const file = `${watched}f`
  // Every user may enter the folder; the mode of the socket decides who may connect.
  const sockets = hostFolder('sockets')
  chmodSync(sockets, 0o755)
  const address = `unix://${sockets}/ktrail.sock`
  const server = ['--server', address]
  const written = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }

  // The agent of all steps: init writes its config, check passes it.
  const base = join(folder, 'ktrail.yaml')
  const made = await typed(['init', '--file', join(folder, 'none.jsonl'), '--policies', SHIPPED, '--output', base])
  assert.deepEqual([made.code, made.stdout], [0, ''], made.stderr)
  const checked = await typed(['check', base])
  assert.deepEqual([checked.code, checked.stdout, checked.stderr], [0, '', '2 files checked, no mistakes\n'])
  const none = { code: 'UNAVAILABLE', message: /^no agent listens on unix:\/\/\S+: start it with ktrail run/ }
  await assert.rejects(typed(['policy', 'list', ...server]), none)
  await assert.rejects(
    typed(['status', '--http', '127.0.0.1:9']),
    /^PageError: no agent listens on 127\.0\.0\.1:9: start it/,
  )

  await using agent = await TestAgent.start({
    base,
    replayed: true,
    paths: [SHIPPED],
    policies: {
      'of-file.yaml': policy('of-file', [fileHook([path('Equal', '/nowhere')])]),
      // The name in the examples of the pages, with a file that this test reads.
      'ssh-keys.yaml': policy('ssh-keys', [fileHook([path('Equal', '/etc/hosts')])]),
    },
    archive: { envelope: true },
    exporters: {
      screen: { type: 'stdout', format: 'compact', batch: { max_wait: '20ms' } },
      // An exporter that drops some events of each burst.
      small: {
        type: 'file',
        path: join(folder, 'small.jsonl'),
        envelope: true,
        queue: { max_events: 5, when_full: 'drop_newest' },
        batch: { max_events: 5, max_wait: '200ms' },
      },
    },
    config: { server: { http: '127.0.0.1:0', grpc: address }, heartbeat: '1h' },
  })
  // For commands that name no server.
  symlinkSync(`${sockets}/ktrail.sock`, `/proc/${agent.pid}/root/run/ktrail/ktrail.sock`)
  const http = `127.0.0.1:${agent.port}`
  const read = (): Promise<void> => agent.runs(['/usr/bin/cat', file], file, file)
  const reported = async (): Promise<number> => {
    const lines: Line[] = await agent.during(read)
    return lines.filter(({ process_kprobe: hit }) => hit?.policy_name === 'secret').length
  }
  // Losses have no compact line in `ktrail events`, as in Tetragon's client.
  const printed = (): string[] => agent.stdout().filter((line) => !line.startsWith('❗'))
  const markAt = (i: number): string =>
    /ktrail-mark-\d+-\d+/.exec(agent.texts()[i] ?? '')?.[0] ?? assert.fail('no mark')
  const list = async (): Promise<readonly Listed[]> =>
    JSON.parse((await typed(['policy', 'list', '-o', 'json', ...server])).stdout)
  const secret = async (): Promise<Listed | undefined> => (await list()).find(({ name }) => name === 'secret')

  await t.test('policy: add, disable, enable and delete change the events from the kernel', async () => {
    const yaml = written('secret.yaml', policy('secret', [fileHook([path('Prefix', watched)])]))
    assert.equal(await reported(), 0)
    assert.deepEqual(await typed(['policy', 'add', yaml, ...server]), {
      code: 0,
      stdout: '',
      stderr: 'policy secret added\n',
    })
    assert.ok((await reported()) > 0)
    const added = await secret()
    assert.deepEqual([added?.state, added?.source, added?.error], ['enabled', 'grpc', ''])
    assert.deepEqual(
      added?.hooks.map((hook) => hook.function),
      ['security_file_permission'],
    )
    assert.ok((added?.hits ?? 0) > 0)
    assert.match((await typed(['policy', 'list', ...server])).stdout, /^secret +enabled +monitor +1 \S+ +[1-9]\d*$/m)

    assert.equal((await typed(['policy', 'disable', 'secret', ...server])).stderr, 'policy secret disabled\n')
    assert.equal(await reported(), 0)
    assert.deepEqual([(await secret())?.state, (await secret())?.hooks], ['disabled', []])
    assert.equal((await typed(['policy', 'enable', 'secret', ...server])).stderr, 'policy secret enabled\n')
    assert.ok((await reported()) > 0)
    assert.equal((await typed(['policy', 'delete', 'secret', ...server])).stderr, 'policy secret deleted\n')
    assert.equal(await reported(), 0)
    assert.equal(await secret(), undefined)
  })

  await t.test('policy: wrong commands change nothing', async () => {
    // Counters continue to count.
    const withoutCounts = (_: string, value: unknown): unknown => (typeof value === 'number' ? 0 : value)
    const known = async (): Promise<unknown> => JSON.parse(JSON.stringify(await list(), withoutCounts))
    const before = await known()
    const hooks = [fileHook([path('Prefix', watched)]), { call: 'ktrail_no_such_function', syscall: false }]
    const half = written('half.yaml', policy('secret', hooks))
    const mistakes = written('mistakes.yaml', policy('secret', [fileHook([path('Prefxi', watched)])]))
    const wrong = await typed(['policy', 'add', mistakes, ...server])
    assert.equal(wrong.code, 78)
    assert.match(wrong.stdout, /mistakes\.yaml:\d+:\d+: .*Prefxi.*did you mean "?Prefix/)
    assert.deepEqual(await known(), before)
    const refused = await typed(['policy', 'add', half, ...server])
    assert.deepEqual([refused.code, refused.stderr], [78, ''])
    assert.match(refused.stdout, /half\.yaml: .*ktrail_no_such_function/)
    const kept = await secret()
    assert.deepEqual([kept?.state, kept?.hooks], ['load_error', []])
    assert.match(kept?.error ?? '', /ktrail_no_such_function/)
    assert.equal(await reported(), 0)
    assert.equal((await typed(['policy', 'delete', 'secret', ...server])).code, 0)
    assert.deepEqual(await known(), before)

    await assert.rejects(
      typed(['policy', 'delete', 'secert', ...server]),
      /the agent has no policy "secert"; ktrail policy list/,
    )
    await assert.rejects(
      typed(['policy', 'delete', 'of-fiel', ...server]),
      /no policy "of-fiel" \(did you mean "of-file"\?\)/,
    )
    await assert.rejects(
      typed(['policy', 'delete', 'of-file', ...server]),
      /comes from the file .*of-file\.yaml: remove the file/,
    )
    // Loads the modules that the command imports.
    await assert.rejects(typed(['events', '--server', `unix://${folder}/none`]), { code: 'UNAVAILABLE' })
    await asNobody(async () => {
      const message = `cannot connect to ${address}: permission denied; run this as root`
      await assert.rejects(typed(['policy', 'disable', 'of-file', ...server]), { message })
      await assert.rejects(typed(['events', ...server]), { message })
    })
    assert.deepEqual(await known(), before)
  })

  await t.test('live commands print the events that the exporters got', async () => {
    await typed(['policy', 'add', join(folder, 'secret.yaml'), ...server])
    const events = (...args: string[]): Live => new Live(['events', ...server, ...args])
    const compact = events('-o', 'compact')
    const json = events()
    const host = events('-o', 'compact', '--host')
    const ofPolicy = events('-o', 'compact', '--policy', 'secret')
    const ofProcess = events('-o', 'compact', '--process', '/cat$')
    const nothing = [events('-o', 'compact', '--namespace', 'default'), events('-o', 'compact', '--pod', '.*')]
    const tapped = new Live(['tap', 'archive', ...server])
    const readers = [compact, json, host, ofPolicy, ofProcess, ...nothing]
    using _ = { [Symbol.dispose]: () => [...readers, tapped].forEach((live) => live.end()) }
    await agent.until('the readers to be connected', async () => {
      return (await agent.metrics()).sum('ktrail_api_readers') >= readers.length
    })
    await agent.settled()
    await agent.until('tap to print', () => tapped.out !== '')
    const from = await agent.settled()
    await read()
    await agent.runs(['/bin/true', 'one'])
    await read()
    const to = await agent.settled()
    // The lines between the exit of the mark before and the exit of the mark after.
    const [first, last] = [markAt(from - 1), markAt(to - 1)]
    const between = (lines: readonly string[]): string[] | false => {
      const at = (mark: string): number =>
        lines.findIndex((line) => line.includes(mark) && /^💥|"process_exit"/.test(line))
      return at(last) !== -1 && lines.slice(at(first) + 1, at(last) + 1)
    }
    const until = (of: string, lines: () => readonly string[]): Promise<string[]> =>
      agent.until(`the exit of the last mark: ${of}`, () => between(lines()))
    const ended = (live: Live): Promise<string[]> => until(live.command, () => live.lines)
    // Standard output is a separate exporter; the archive has the marks.
    const screen = await until('standard output', printed)
    const isRead = (line: string): boolean => line.startsWith('📚 read ') && line.endsWith(`/cat ${file}`)
    assert.ok(screen.filter(isRead).length >= 2, screen.join('\n'))
    assert.deepEqual(await ended(compact), screen)
    assert.deepEqual(await ended(host), screen)
    const archive = agent.texts().slice(from, to)
    assert.deepEqual(await ended(tapped), archive)
    const plain = archive.map((text): object => ({ ...JSON.parse(text), ktrail: undefined }))
    assert.deepEqual(
      (await ended(json)).map((text): object => ({ ...JSON.parse(text), ktrail: undefined })),
      plain,
    )
    const some = async (live: Live, wants: (line: string) => boolean): Promise<void> => {
      const wanted = screen.filter(wants)
      await agent.until('the filtered lines', () => live.lines.length >= wanted.length)
      assert.deepEqual(live.lines, wanted)
    }
    await some(ofPolicy, isRead)
    await some(ofProcess, (line) => / \S+ \S*\/cat(?: |$)/.test(line))
    for (const live of nothing) assert.equal(live.out, '')
  })

  await t.test('status, top and check --probe', async () => {
    const page = await typed(['status', '--http', http])
    assert.deepEqual([page.code, page.stderr], [0, ''])
    assert.match(page.stdout, /^ready, up since /)
    assert.match(page.stdout, /config\.yaml and 1 drop-in files?;/)
    assert.match(page.stdout, /^archive +healthy /m)
    assert.match(page.stdout, /^secret +enabled +1 /m)
    const json = await typed(['status', '--http', http, '-o', 'json'])
    const status = JSON.parse(json.stdout) as { policies: Listed[]; exporters: Array<{ name: string; state: string }> }
    assert.equal(json.code, 0)
    assert.ok(status.policies.some(({ name, state }) => name === 'secret' && state === 'enabled'))
    assert.deepEqual(status.exporters.map(({ name }) => name).toSorted(), ['archive', 'screen', 'small'])
    const once = await typed(['top', '--once', '--http', http, ...server])
    assert.equal(once.code, 0)
    for (const part of [/^ready,/, /^archive +healthy/m, /^secret +enabled/m, /^BINARIES +RATE +TOTAL$/m, /^PATHS /m]) {
      assert.match(once.stdout, part)
    }
    assert.ok(!once.stdout.includes('\u001b'))
    const top = new Live(['top', '--http', http, ...server])
    await agent.until('top to show the file', async () => (await read(), top.out.includes('/w/f ')))
    assert.match(top.out, /\/cat +[\d.,]+\/s +\d+$/m)
    top.end()
    await top.ended
    const probed = await typed(['check', '--probe', join(agent.folder, 'config.yaml')])
    assert.deepEqual([probed.code, probed.stderr], [0, '3 exporters probed, none failed\n'])
    assert.match(probed.stdout, /^ok +archive +.*events\.jsonl/m)
  })

  await t.test('command lines of the pages', async (step) => {
    const documented = new Documented(folder, agent)
    const act = (): Promise<void> => agent.runs(['/usr/bin/cat', file, '/etc/hosts'], file, '/etc/hosts')
    assert.ok(documented.lines.length > 10)
    for (const line of documented.lines) {
      await step.test(`${line.page}: ${line.text}`, async () => {
        const isInput = line.text.startsWith('ktrail events -o compact <')
        const at = isInput ? (await agent.settled()) - 1 : 0
        const output = await documented.run(line, act)
        if (!isInput) return
        // Lines as the agent itself wrote them.
        assert.ok(printed().join('\n').startsWith(output.trimEnd()))
        assert.ok(output.includes(markAt(at)), 'its end is missing')
      })
    }
  })

  await t.test('audit of the file that the agent wrote', async () => {
    const dropped = (await agent.metrics()).sum('ktrail_exporter_dropped_events_total', { exporter: 'small' })
    assert.equal((await agent.stop()).code, 0)
    const events = join(agent.folder, 'events.jsonl')
    const audited = await typed(['audit', events])
    assert.match(audited.stdout, /^\S+ archive: no unreported loss; 1 run, [\d,]+ records/)
    assert.deepEqual([audited.code, audited.stderr], [0, ''])
    assert.ok(audited.stdout.includes(` ${agent.texts().length.toLocaleString('en-US')} records`), audited.stdout)
    // The loss records of `small` count exactly the records that its file lacks.
    const { stdout, code } = await typed(['audit', join(folder, 'small.jsonl'), '-o', 'json'])
    const [stream] = (JSON.parse(stdout) as { streams: Audited[] }).streams
    const { told = [], untold, records = 0 } = stream?.runs[0] ?? {}
    const missing = told.reduce((sum, { first, last }) => sum + last - first + 1, 0)
    assert.deepEqual([untold, code], [[], 0])
    assert.equal(records + missing, agent.texts().length)
    assert.ok(missing >= dropped && dropped > 0, `${missing} missing, ${dropped} counted before the end`)
    const without = agent.texts().filter((text) => !/"process_kprobe"/.test(text))
    assert.ok(without.length < agent.texts().length)
    assert.equal((await typed(['audit', written('without.jsonl', `${without.join('\n')}\n`)])).code, 1)
  })
})
