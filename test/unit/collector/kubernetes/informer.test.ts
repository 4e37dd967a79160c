import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { test } from 'node:test'
import { KubernetesClient } from '../../../../collector/kubernetes/client.ts'
import type { Clients } from '../../../../collector/kubernetes/client.ts'
import { Informer } from '../../../../collector/kubernetes/informer.ts'
import { withoutOpenssl } from '../../../support/authority.ts'
import { flood } from '../../../support/otlp/server.ts'
import { scripted } from '../../../support/kubernetes/scripted.ts'

const skip = withoutOpenssl()
const PODS = { group: '', version: 'v1', name: 'pods' }

const pod = (name: string, resourceVersion: string): object => ({ metadata: { namespace: 'n', name, resourceVersion } })
const listOf = (resourceVersion: string, items: object[], more?: string): string =>
  JSON.stringify({ metadata: { resourceVersion, continue: more }, items })
const NUMBERS = `{"metadata":{},"items":[${'1,'.repeat(1 << 20)}1]}`
const line = (type: string, object: object): string => `${JSON.stringify({ type, object })}\n`
const status = (code: number, message: string): string => JSON.stringify({ kind: 'Status', code, message })

type Answer = (url: URL, answer: ServerResponse, request: { readonly headers: Record<string, unknown> }) => void

/** Lists and watches are answered one after another; the results of the informer arrive in `log`. */
async function rig(script: { lists: Answer[]; watches: Answer[] }, options: Partial<Clients> = {}) {
  const arrived = new EventEmitter()
  const log: string[] = []
  const put = (text: string): void => {
    log.push(text)
    arrived.emit('line')
  }
  const server = await scripted((url, answer, request) => {
    const queue = url.searchParams.get('watch') === null ? script.lists : script.watches
    const next = queue.length > 1 ? queue.shift() : queue[0]
    next?.(url, answer, request)
  })
  const client = new KubernetesClient({ login: server.login, ...options })
  const informer = new Informer({
    client,
    resource: PODS,
    labelSelector: 'a=b',
    read: ({ metadata }) => (metadata.name === 'not-ours' ? undefined : metadata.name),
    onSet: (name, before) => put(`${before === undefined ? 'new' : 'changed'} ${name}`),
    onDelete: (name) => put(`gone ${name}`),
    onListed: () => put('listed'),
    onProblem: (problem) => put(problem ?? 'works'),
    maxDelayMs: 5,
  })
  informer.start()
  return {
    ...server,
    log,
    informer,
    async until(end: string | RegExp): Promise<void> {
      const is = (text: string): boolean => (typeof end === 'string' ? text === end : end.test(text))
      while (!log.some(is)) await once(arrived, 'line', { signal: AbortSignal.timeout(10_000) })
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await informer[Symbol.asyncDispose]()
      client[Symbol.dispose]()
      await server[Symbol.asyncDispose]()
    },
  }
}

const holds: Answer = (_, answer) => void answer.writeHead(200).write('\n')

test('informer: lists page by page, then watches from there, and goes on where it was', { skip }, async () => {
  const seen: string[] = []
  const lists: Answer[] = [
    (url, answer, { headers }) => {
      seen.push(`${url.pathname} ${url.searchParams.get('resourceVersion')} ${url.searchParams.get('labelSelector')}`)
      assert.equal(headers['authorization'], 'Bearer secret')
      answer.end(listOf('7', [pod('one', '1'), pod('not-ours', '2')], 'next'))
    },
    (url, answer) => {
      seen.push(`continue ${url.searchParams.get('continue')}`)
      answer.end(listOf('7', [pod('two', '3')]))
    },
  ]
  const watches: Answer[] = [
    (url, answer) => {
      seen.push(`from ${url.searchParams.get('resourceVersion')} ${url.searchParams.get('allowWatchBookmarks')}`)
      // A change in two pieces, and one that the list had.
      const text = line('MODIFIED', pod('one', '8'))
      answer.write(text.slice(0, 20))
      answer.write(text.slice(20) + line('DELETED', pod('two', '9')) + line('BOOKMARK', pod('', '12')))
      answer.end()
    },
    (url, answer) => {
      seen.push(`from ${url.searchParams.get('resourceVersion')}`)
      answer.write(line('ADDED', pod('three', '13')))
    },
  ]
  await using made = await rig({ lists, watches })
  await made.until('new three')
  assert.deepEqual(made.log, ['new one', 'new two', 'listed', 'changed one', 'gone two', 'new three'])
  assert.deepEqual(seen, ['/api/v1/pods 0 a=b', 'continue next', 'from 7 true', 'from 12'])
  assert.equal(made.informer.size, 2)
  for (const name of ['one', 'three']) assert.equal(made.informer.get('n', name), name)
})

test(
  'informer: if the API server forgot its version it lists again, and passes on the changes since',
  { skip },
  async () => {
    for (const gone of [
      (answer: ServerResponse) => answer.end(line('ERROR', { kind: 'Status', code: 410, message: 'too old' })),
      (answer: ServerResponse) => answer.writeHead(410).end(status(410, 'too old')),
    ]) {
      const lists: Answer[] = [
        (_, answer) => void answer.end(listOf('1', [pod('stays', '1'), pod('goes', '1'), pod('changes', '1')])),
        (url, answer) => {
          assert.equal(url.searchParams.get('resourceVersion'), null, 'not from a cache that may be older')
          answer.end(listOf('5', [pod('stays', '1'), pod('changes', '4'), pod('comes', '5')]))
        },
      ]
      await using made = await rig({ lists, watches: [(_, answer) => void gone(answer), holds] })
      await made.until('gone goes')
      assert.deepEqual(made.log.slice(4), ['changed changes', 'new comes', 'gone goes'])
      assert.equal(made.log.includes('works'), false, 'no problem was reported')
    }
  },
)

test(
  'informer: keeps what it knows while the API server is away, reports it once, and comes back',
  { skip },
  async () => {
    let away = 3
    const lists: Answer[] = [(_, answer) => void answer.end(listOf('1', [pod('one', '1')]))]
    const watches: Answer[] = [
      (_, answer) => {
        if (away-- > 0) answer.destroy()
        else answer.write(line('ADDED', pod('two', '2')))
      },
    ]
    await using made = await rig({ lists, watches })
    await made.until('new two')
    const [one, listed, problem, works, two, ...rest] = made.log
    assert.deepEqual([one, listed, works, two, rest], ['new one', 'listed', 'works', 'new two', []])
    assert.match(
      problem ?? '',
      /^kubernetes: cannot watch pods: the API server https:.* does not answer: socket hang up/,
    )
    assert.deepEqual(
      made.requests.filter((each) => !each.includes('watch=true')).length,
      1,
      'one list: nothing was forgotten',
    )
  },
)

test(
  'informer: an API server that was restored and does not have its version yet is listed again',
  { skip },
  async () => {
    const lists: Answer[] = [
      (_, answer) => void answer.end(listOf('9000', [pod('old', '8000')])),
      (_, answer) => void answer.end(listOf('5', [pod('restored', '5')])),
    ]
    const watches: Answer[] = [
      (url, answer) => {
        if (url.searchParams.get('resourceVersion') === '5') answer.write(line('BOOKMARK', pod('', '6')))
        else answer.writeHead(504).end(status(504, 'Too large resource version: 9000, current: 5'))
      },
    ]
    await using made = await rig({ lists, watches })
    await made.until('gone old')
    await made.until('works')
    assert.deepEqual([made.informer.size, made.informer.get('n', 'restored')], [1, 'restored'])
  },
)

const USER = 'system:serviceaccount:ktrail:ktrail'

test('informer: every failure is one sentence with verb and resource', { skip }, async () => {
  const forbidden = `pods is forbidden: User "${USER}" cannot list resource "pods" in API group "" at the cluster scope`
  const rows: Array<{ name: string; list: Answer; want: RegExp; options?: Partial<Clients> }> = [
    {
      name: 'forbidden',
      list: (_, answer) => void answer.writeHead(403).end(status(403, forbidden)),
      want: /^kubernetes: system:serviceaccount:ktrail:ktrail may not list pods \(403\): give it a ClusterRole with the rule \{apiGroups: \[""\], resources: \[pods\], verbs: \[list\]\}$/,
    },
    {
      name: 'unauthorized',
      list: (_, answer) => void answer.writeHead(401).end(status(401, 'Unauthorized')),
      want: /does not accept the credentials of the test \(401\): expected those of this cluster$/,
    },
    {
      name: 'not there',
      list: (_, answer) => void answer.writeHead(404).end('404 page not found'),
      want: /^kubernetes: cannot list pods: the API server https:\S+ does not have it$/,
    },
    {
      name: 'not ready',
      list: (_, answer) => void answer.writeHead(503).end(status(503, 'etcd is away')),
      want: /cannot list pods now: the API server \S+ answers 503: etcd is away$/,
    },
    {
      name: 'not an API server',
      list: (_, answer) => void answer.end('<html>'),
      want: /cannot list pods: the API server \S+ does not answer: it did not send a Kubernetes object/,
    },
    {
      name: 'silent',
      list: () => undefined,
      options: { answerMs: 20 },
      want: /cannot list pods: the API server \S+ does not answer: no answer within 0\.02 s/,
    },
  ]
  for (const { name, list, want, options } of rows) {
    await using made = await rig({ lists: [list], watches: [] }, options)
    await made.until(want)
    assert.equal(made.log.length, 1, `${name}: ${made.log.join('; ')}`)
    assert.equal(made.informer.listed, false)
  }
})

test('informer: a change without an object is one sentence that names the server', { skip }, async () => {
  const lists: Answer[] = [(_, answer) => void answer.end(listOf('1', []))]
  for (const change of ['{"type":"ADDED","object":null}', '{"type":"ERROR","object":{"code":"x"}}']) {
    await using made = await rig({ lists, watches: [(_, answer) => void answer.end(`${change}\n`)] })
    await made.until(/expected/)
    const problem = made.log.find((text) => text.includes('expected')) ?? ''
    assert.match(
      problem,
      /^kubernetes: cannot watch pods: the API server \S+ does not answer: it did not send .*; check/,
    )
  }
})

test('informer: a silent watch is replaced, without a warning', { skip }, async () => {
  const lists: Answer[] = [(_, answer) => void answer.end(listOf('1', []))]
  const watches: Answer[] = [holds, (_, answer) => void answer.write(line('ADDED', pod('one', '2')))]
  await using made = await rig({ lists, watches }, { quietMs: 300 })
  await made.until('new one')
  assert.deepEqual(made.log, ['listed', 'new one'])
})

test('informer: a change without end is refused', { skip }, async () => {
  const lists: Answer[] = [(_, answer) => void answer.end(listOf('1', []))]
  const watches: Answer[] = [
    (_, answer) => {
      const piece = 'x'.repeat(1 << 20)
      for (let i = 0; i < 9; i++) answer.write(piece)
    },
    holds,
  ]
  await using made = await rig({ lists, watches })
  await made.until(/expected an answer of at most 8388608 bytes, got more/)
})

test('informer: a list that is too large is requested in pages, and not from the cache', { skip }, async () => {
  const seen: string[] = []
  const lists: Answer[] = [
    (url, answer) => {
      const [limit, version] = ['limit', 'resourceVersion'].map((name) => url.searchParams.get(name))
      seen.push(`${limit} ${version}`)
      if (Number(limit) > 100) answer.end(' '.repeat(9 << 20))
      else answer.end(listOf('1', [pod('one', '1')]))
    },
  ]
  await using made = await rig({ lists, watches: [holds] })
  await made.until('listed')
  assert.deepEqual(seen, ['500 0', '125 null', '32 null'])
  assert.match(made.log[0] ?? '', /cannot list pods: .* expected an answer of at most 8388608 bytes, got more/)
  assert.ok(made.log.includes('works'))
})

test('client: 100 Continue again and again ends the request at once', { skip }, async () => {
  const bytes = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n'.repeat(1000))
  await using server = await scripted((_, answer) => void (answer.socket && flood(answer.socket, bytes)))
  using client = new KubernetesClient({ login: server.login })
  const query = { resource: PODS, namespace: undefined, query: {}, signal: AbortSignal.timeout(60_000) }
  await assert.rejects(client.list(query), /more than 16 that are only informational/)
})

test('client: a certificate that is not valid by this clock is named, with the time', { skip }, async () => {
  await using server = await scripted((_, answer) => answer.end(listOf('1', [])), { days: -1 })
  using client = new KubernetesClient({ login: server.login })
  const query = { resource: PODS, namespace: undefined, query: {}, signal: AbortSignal.timeout(10_000) }
  await assert.rejects(client.list(query), {
    code: 'KUBERNETES_UNREACHABLE',
    message:
      /is not valid at \d{4}-\d\d-\d\dT[\d:]{8}Z, the time of this host \(CERT_HAS_EXPIRED\): set its clock, or renew the certificate$/,
  })
})

test('client: an authority that did not sign the certificate is named', { skip }, async () => {
  await using server = await scripted((_, answer) => answer.end(listOf('1', [])))
  await using other = await scripted(() => undefined)
  const login = { ...server.login, read: other.login.read }
  using client = new KubernetesClient({ login })
  const query = { resource: PODS, namespace: undefined, query: {}, signal: AbortSignal.timeout(10_000) }
  await assert.rejects(client.list(query), {
    code: 'KUBERNETES_UNREACHABLE',
    message:
      /the certificate of the API server \S+ is not signed by the CA of the test \(\w+\): expected the CA of this cluster$/,
  })
})

test('informer: a list of a million numbers is refused at the first one', { skip }, async () => {
  const { user: before } = process.cpuUsage()
  JSON.parse(NUMBERS)
  const { user: read } = process.cpuUsage()
  await using made = await rig({
    lists: [(_, answer) => void answer.end(NUMBERS), (_, answer) => void answer.end(listOf('1', []))],
    watches: [() => {}],
  })
  await made.until(/it did not send a Kubernetes object/)
  const took = process.cpuUsage().user - read
  assert.ok(took < 10 * (read - before) + 200_000, `${took} us, ${read - before} of them for JSON`)
})
