/** Probes of sinks and folders: findings and advice; no event is sent. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, readFileSync, statfsSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { pino } from 'pino'
import { loadConfig } from '../../../config/agent/load.ts'
import { EncoderPool, probeExporters } from '../../../exporters/index.ts'
import { createAuthority, withoutOpenssl } from '../../support/authority.ts'
import { FakeSink, rpcStatus } from '../../support/otlp/server.ts'
import type { Answer } from '../../support/otlp/server.ts'
import { FakeBroker } from './sinks/kafka/support/fake-broker.ts'
import { UserFolder } from './sinks/npm/support.ts'
import { Folder } from './support/folder.ts'

/** `state text` by exporter: that of its last row, so of a folder if it has one. */
async function probed(exporters: object, timeoutMs = 20_000, configFile = 'c.yaml'): Promise<Record<string, string>> {
  const loaded = loadConfig(JSON.stringify({ exporters }), configFile, {}, () => '')
  assert.ok('config' in loaded, JSON.stringify(loaded))
  const context = { nodeName: 'n', epoch: 'e', encoders: new EncoderPool('n'), env: {}, log: pino({ level: 'silent' }) }
  const results = await probeExporters(loaded.config.exporters, { ...context, configFile }, timeoutMs)
  return Object.fromEntries(results.map(({ name, state, text }) => [name, `${state} ${text}`]))
}

function matches(found: Readonly<Record<string, string>>, wanted: Readonly<Record<string, RegExp>>): void {
  assert.deepEqual(Object.keys(found), Object.keys(wanted))
  for (const [name, want] of Object.entries(wanted)) assert.match(found[name] ?? '', want, name)
}

test(
  'probe: an HTTP sink is connected to, plain or with TLS, and gets a request without records',
  { skip: withoutOpenssl() },
  async () => {
    using folder = new Folder()
    const good = createAuthority(folder.path, 'good')
    const other = createAuthority(folder.path, 'other')
    const tls = { cert: readFileSync(good.cert), key: readFileSync(good.key) }
    const mutual = { ...tls, requestCert: true, rejectUnauthorized: true, ca: readFileSync(good.ca) }
    await using plain = await FakeSink.start()
    await using secure = await FakeSink.start(undefined, tls)
    await using strict = await FakeSink.start(undefined, mutual)
    const otlp = (sink: FakeSink, keys: object = {}): object => ({ type: 'otlp', logs_endpoint: sink.url, ...keys })
    const trusted = { ca_file: good.ca }
    const found = await probed({
      plain: otlp(plain),
      secure: otlp(secure, { tls: trusted }),
      unchecked: otlp(secure, { tls: { insecure_skip_verify: true } }),
      distrusted: otlp(secure, { tls: { ca_file: other.ca } }),
      named: otlp(secure, { tls: { ...trusted, server_name: 'elsewhere.example' } }),
      known: otlp(strict, { tls: { ...trusted, cert_file: good.cert, key_file: good.key } }),
      unknown: otlp(strict, { tls: trusted }),
    })
    matches(found, {
      plain: new RegExp(
        `^ok http://127\\.0\\.0\\.1:${plain.port}/v1/logs: connected to 127\\.0\\.0\\.1:${plain.port}, plain; took a request without records$`,
      ),
      secure: /^ok https:.*, TLSv1\.3, certificate valid until \d{4}-\d\d-\d\d; took a request without records$/,
      unchecked: /^ok https:.*, TLSv1\.3, certificate valid until \S+, not verified; took a request without records$/,
      distrusted: /^failed cannot connect to https:.*: unable to verify the first certificate; set tls\.ca_file /,
      named: /^failed .*elsewhere\.example.*; use a name in its certificate, or set tls\.server_name to one$/,
      known: /^ok https:.*, TLSv1\.3, /,
      // Sometimes the reset of the connection arrives before the sink's alert.
      unknown:
        /^failed .*(?:alert certificate required; the sink refuses the client certificate|ECONNRESET; the sink closed)/,
    })
    assert.deepEqual(
      [plain, secure, strict].map(({ requests }) => requests.map((request) => request.logs().records)),
      [[[]], [[], []], [[]]],
    )
  },
)

test('probe: sinks that are absent, do not answer or do not use TLS; each with the next step', async () => {
  const sockets = new Set<Socket>()
  let most = 0
  const silent = createServer((socket) => {
    sockets.add(
      socket
        .on('error', () => {})
        .on('close', () => sockets.delete(socket))
        .resume(),
    )
    most = Math.max(most, sockets.size)
  })
  const gone = createServer()
  const rude = createServer((socket) => socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  const ports: number[] = []
  for (const server of [silent, gone, rude]) {
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const address = server.address()
    ports.push(typeof address === 'object' && address !== null ? address.port : 0)
  }
  await new Promise((resolve) => gone.close(resolve))
  const [quiet, closed, http] = ports
  await using broker = await FakeBroker.start()
  broker.deed = () => 'silence'
  const [found, unanswered] = await Promise.all([
    // These sinks answer, though late on a busy machine.
    probed(
      {
        gone: { type: 'otlp', endpoint: `http://127.0.0.1:${closed}?key=hush` },
        rude: { type: 'otlp', endpoint: `https://127.0.0.1:${http}` },
        nowhere: { type: 'otlp', endpoint: 'http://nowhere.invalid' },
      },
      30_000,
    ),
    probed(
      {
        silent: { type: 'otlp', endpoint: `https://127.0.0.1:${quiet}?key=hush` },
        mute: { type: 'otlp', endpoint: `https://127.0.0.1:${quiet}` },
        broker: { type: 'kafka', brokers: [broker.address], topic: 'events' },
        other: { type: 'kafka', brokers: [`127.0.0.1:${quiet}`], topic: 'events' },
      },
      3000,
    ),
  ])
  assert.ok(most >= 3, `all are probed side by side, got ${most} connections at a time`)
  for (const socket of sockets) socket.destroy()
  silent.close()
  rude.close()
  matches(found, {
    gone: /^failed cannot connect to http:\/\/127\S+: connect ECONNREFUSED 127\S+; nothing listens there: /,
    rude: /^failed .*wrong version number; no TLS on this port: correct the port, or remove tls$/,
    nowhere: /^failed .*nowhere\.invalid; the name has no address in DNS: /,
  })
  matches(unanswered, {
    silent: /^failed no answer from https:\/\/127\S+\/v1\/logs within 3 s: check the address, /,
    mute: /^failed no answer from https:\/\/127\S+\/v1\/logs within 3 s: check the address, /,
    broker: /^failed no answer from 127\S+ within 3 s: /,
    other: /^failed no answer from 127\S+ within 3 s: /,
  })
  assert.doesNotMatch(JSON.stringify([found, unanswered]), /hush/)
})

test('probe: an OTLP sink that would refuse every event fails, with the next step', async () => {
  const answers: Readonly<Record<string, Answer>> = {
    // As Loki 3.7 answers a request without streams, after it has checked login and tenant.
    loki: { status: 422, body: rpcStatus('error at least one valid stream is required for ingestion') },
    login: { status: 401, body: 'no credentials provided' },
    tenant: { status: 403 },
    path: { status: 404, body: '404 page not found' },
    moved: { status: 301 },
    page: { status: 200, body: '<html>Sign in</html>' },
    full: { status: 503 },
    odd: { status: 400, body: 'no' },
  }
  await using sink = await FakeSink.start(({ path: at }) => answers[at.slice(1)] ?? { status: 500 })
  const exporters = Object.keys(answers).map((name) => [
    name,
    { type: 'otlp', logs_endpoint: `${new URL(sink.url).origin}/${name}`, protocol: 'http/json', compression: 'none' },
  ])
  matches(await probed(Object.fromEntries(exporters)), {
    loki: /^ok .*, plain; took a request without records$/,
    login: /^failed http:\S+\/login answered 401: no credentials provided; check the credentials$/,
    tenant: /^failed .* answered 403; check the credentials$/,
    path: /^failed .* answered 404: 404 page not found; check the endpoint$/,
    moved: /^failed .* answered 301; check the endpoint$/,
    page: /^failed .* expected an OTLP response, got "<html>Sign in<\/html>"; check that the endpoint is an OTLP receiver$/,
    full: /^failed .* answered 503; check the log of the sink$/,
    odd: /^failed .* answered 400: no; check the log of the sink$/,
  })
  assert.deepEqual(
    sink.requests.map((request) => request.logs().records),
    exporters.map(() => []),
  )
})

test('probe: kafkajs requests the topics from a broker', async () => {
  await using broker = await FakeBroker.start()
  Object.assign(broker.topics, { secret: 29 })
  const kafka = (topic: string): object => ({ type: 'kafka', brokers: [broker.address], topic, idempotent: false })
  matches(
    await probed({ one: kafka('events'), none: kafka('missing'), secret: kafka('secret'), all: kafka('{policy}') }),
    {
      one: /^ok 127\S+: plain; partitions of topic "events": 1$/,
      none: /^failed .* topic "missing" .*: UNKNOWN_TOPIC_OR_PARTITION; create it /,
      secret: /^failed .* topic "secret" .*: TOPIC_AUTHORIZATION_FAILED.*; allow this user /,
      all: /^ok 127\S+: plain; topics "\{policy\}" depend on the events and were not checked$/,
    },
  )
  assert.ok(!broker.requests.includes(0), 'nothing is produced')
})

test('probe: a file and its folder are checked, but not created', async () => {
  using folder = new Folder()
  mkdirSync(folder.at('folder'))
  symlinkSync('elsewhere', folder.at('link'))
  const file = (path: string): object => ({ type: 'file', path })
  const found = await probed({
    fresh: file(folder.at('e.jsonl')),
    deeper: file(folder.at('new/e.jsonl')),
    deepest: file(folder.at('a/b/e.jsonl')),
    there: file(import.meta.filename),
    folder: file(folder.at('folder')),
    link: file(folder.at('link')),
    inside: file(`${import.meta.filename}/e.jsonl`),
    screen: { type: 'stdout' },
  })
  matches(found, {
    fresh: /^ok .*e\.jsonl: can be created, [\d,]+ MiB free$/,
    deeper: /^ok .*e\.jsonl: can be created with its folder, [\d,]+ MiB free$/,
    deepest: /^failed .*its folder does not exist \(ENOENT\); make the folder/,
    there: /^ok .*probe\.test\.ts: writable, [\d,]+ MiB free$/,
    folder: /^failed .*expected a regular file, got something else; choose another path$/,
    link: /^failed .*expected a regular file, got something else; choose another path$/,
    inside: /^failed .*a part of its path is not a folder \(ENOTDIR\); choose another path$/,
    screen: /^ok nothing to connect to$/,
  })
  assert.deepEqual(folder.names(), ['folder', 'link'])
})

test('probe: folders of spools and dead letters are writable and have room for their limits together', async () => {
  using folder = new Folder()
  const { bavail, bsize } = statfsSync(folder.path)
  const free = Math.floor((bavail * bsize) / (1 << 20))
  writeFileSync(folder.at('plain'), '')
  const screen = (keys: object): object => ({ type: 'stdout', ...keys })
  const spool = (dir: string, size: number): object => ({
    dir: folder.at(dir),
    max_size: `${size}MiB`,
    min_free: '1MiB',
    segment_size: '1MiB',
  })
  const small = await probed({
    fresh: screen({ spool: spool('a/b', 8) }),
    both: screen({ spool: spool('c', 8), dead_letter: { path: folder.at('letters.jsonl') } }),
    inside: screen({ spool: spool('plain', 8) }),
    missing: screen({ dead_letter: { path: folder.at('x/y/letters.jsonl') } }),
  })
  assert.match(small['fresh'] ?? '', /^ok spool: \S+\/a\/b\/fresh: writable, [\d,]+ MiB free, 81 MiB needed$/)
  assert.match(small['both'] ?? '', /^ok dead_letter: \S+: writable, [\d,]+ MiB free, 81 MiB needed$/)
  assert.match(small['inside'] ?? '', /^failed spool: cannot use \S+: a part of its path is not a folder \(ENOTDIR\)/)
  assert.match(small['missing'] ?? '', /^failed dead_letter: .*its folder does not exist \(ENOENT\); make the folder/)
  // Each fits alone; other programs may write a quarter of the space meanwhile.
  const share = Math.floor(free * 0.7)
  const one = await probed({ one: screen({ spool: spool('s', share) }) })
  assert.match(one['one'] ?? '', /^ok spool/)
  const two = await probed({ one: screen({ spool: spool('s', share) }), two: screen({ spool: spool('s', share) }) })
  for (const name of ['one', 'two'])
    assert.match(
      two[name] ?? '',
      /^failed spool: \S+: expected [\d,]+ MiB free for the 2 folders on this file system .*, got [\d,]+ MiB; free some space, or lower spool\.max_size$/,
    )
  // Files that are there already need no room.
  mkdirSync(folder.at('s/one'), { recursive: true })
  truncateSync(openedNew(folder.at('s/one/00000001.seg')), share * (1 << 20))
  const half = await probed({ one: screen({ spool: spool('s', share) }), two: screen({ spool: spool('s', share) }) })
  assert.match(half['one'] ?? '', /^ok spool/)
  assert.deepEqual(folder.names(), ['plain', 's'])
})

function openedNew(path: string): string {
  writeFileSync(path, '')
  return path
}

const source = (probe: string): string =>
  `export const ktrail = 1\nexport const createExporter = () => ({ type: 'x', encoding: 'json', start() { throw 1 }, send() {}, stop() {}, ${probe} })`

test('probe: an exporter of a package is probed if it offers it; its text is bounded', async () => {
  using folder = new UserFolder()
  folder.install('none', source(''))
  folder.install('good', source('probe: async () => "x".repeat(1e6)'))
  folder.install('bad', source('probe() { throw new Error("no way") }'))
  folder.install('hangs', source('probe: () => new Promise(() => {}), stop: () => new Promise(() => {})'))
  const exporters = Object.fromEntries(['none', 'good', 'bad', 'hangs'].map((name) => [name, { type: `npm:${name}` }]))
  const found = await probed(exporters, 300, folder.configFile)
  matches(found, {
    none: /^unknown the type npm:none does not support probes$/,
    good: /^ok x{500}…$/,
    bad: /^failed no way$/,
    hangs: /^failed no answer within 0\.3 s: /,
  })
  folder.install('odd', source('probe: 7'))
  await assert.rejects(
    probed({ odd: { type: 'npm:odd' } }, 300, folder.configFile),
    /probe: expected a function, got 7/,
  )
})
