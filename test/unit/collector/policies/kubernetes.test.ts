/** Policies from an API server that is a list here; test/integration-host/kubernetes has the real one. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KubernetesObject, Page, Reading, WatchChange, Watching } from '../../../../collector/kubernetes/client.ts'
import type { About } from '../../../../collector/kubernetes/object-events.ts'
import { CollectorError } from '../../../../collector/errors.ts'
import { KubernetesPolicies } from '../../../../collector/policies/kubernetes.ts'
import { Policies } from '../../../../collector/policies/registry.ts'
import { FakeKernel } from '../support/policies.ts'

function object(name: string, call = 'f', rest: object = {}): KubernetesObject {
  const metadata = { name, namespace: '', uid: `uid-${name}`, resourceVersion: `${call}-1`, ...rest }
  return { metadata, spec: { kprobes: [{ call, syscall: false }] } }
}

/** Lists the given objects, then passes on the changes that `send` gets. */
class FakeServer {
  readonly login = { server: 'https://k', serverName: undefined, verify: true, from: 'x', read: () => Promise.reject() }
  readonly queries: Array<Reading['query']> = []
  readonly listed: string[] = []
  refusal: CollectorError | undefined
  /** Labels of the node. */
  labels: Readonly<Record<string, string>> | undefined = {}
  readonly #objects: KubernetesObject[]
  readonly #changes: WatchChange[] = []
  #more = Promise.withResolvers<void>()
  #turns = 0

  constructor(objects: KubernetesObject[]) {
    this.#objects = objects
  }

  list({ resource, query }: Reading): Promise<Page> {
    this.queries.push(query)
    this.listed.push(resource.name)
    if (this.refusal !== undefined) return Promise.reject(this.refusal)
    if (resource.name === 'nodes') {
      if (this.labels === undefined)
        return Promise.reject(new CollectorError('KUBERNETES_REFUSED', 'may not list nodes'))
      return Promise.resolve({ metadata: { resourceVersion: '1', continue: '' }, items: [this.node('1')] })
    }
    if (resource.group === 'ktrail.dev')
      return Promise.reject(new CollectorError('KUBERNETES_NOT_FOUND', 'no such kind'))
    const items = resource.name === 'tracingpolicies' ? this.#objects : []
    return Promise.resolve({ metadata: { resourceVersion: '1', continue: '' }, items })
  }

  node(resourceVersion: string): KubernetesObject {
    return { metadata: { name: 'node-1', namespace: '', uid: 'n', resourceVersion, labels: this.labels } }
  }

  async *watch({ resource, signal }: Watching): AsyncGenerator<WatchChange, void, undefined> {
    const stopped = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    while (!signal.aborted) {
      if (resource.name === 'tracingpolicies') {
        for (let change = this.#changes.shift(); change !== undefined; change = this.#changes.shift()) yield change
      }
      if (resource.name === 'nodes')
        yield { type: 'MODIFIED', object: this.node(String(this.queries.length + 100 * ++this.#turns)) }
      await Promise.race([stopped, this.#more.promise])
    }
  }

  send(...changes: WatchChange[]): void {
    this.#changes.push(...changes)
    const { resolve } = this.#more
    this.#more = Promise.withResolvers()
    resolve()
  }
}

async function rig(
  objects: KubernetesObject[],
  config: { policy_names?: string[]; policy_selector?: string } = {},
  client: FakeServer = new FakeServer(objects),
) {
  const kernel = new FakeKernel()
  const changes: string[] = []
  const policies = new Policies(kernel, ({ what, by, names }) => changes.push(`${what} ${names.join()} by ${by}`))
  const told: string[] = []
  const lines: string[] = []
  let changed = Promise.withResolvers<void>()
  const put = (list: string[], text: string): void => {
    list.push(text)
    changed.resolve()
    changed = Promise.withResolvers()
  }
  const events = {
    record: (about: About, type: string, reason: string, message: string) =>
      put(told, `${type} ${reason} ${about.name} ${message}`),
  }
  const line = (first: unknown, text?: string): void => put(lines, text ?? String(first))
  const log = { info: line, warn: line, error: line }
  const source = new KubernetesPolicies({ client, events, config, policies, nodeName: 'node-1', log })
  await source.start(5_000)
  return {
    kernel,
    changes,
    policies,
    client,
    told,
    lines,
    source,
    async until(holds: () => boolean): Promise<void> {
      while (!holds()) await changed.promise
    },
    async [Symbol.asyncDispose]() {
      await source[Symbol.asyncDispose]()
    },
  }
}

test('kubernetes policies: the policies at the start are one change, and make no events', async () => {
  const many = Array.from({ length: 200 }, (_, i) => object(`p${i}`))
  await using made = await rig(many)
  assert.equal(made.kernel.names.length, 200)
  assert.equal(made.kernel.log.length, 1, 'one change of the kernel')
  assert.deepEqual(made.told, [])
  assert.deepEqual(made.policies.list()[0]?.id, { source: 'k8s', namespace: '', name: 'p0' })
})

test('kubernetes policies: those that are deleted together are one change', async () => {
  const all = ['one', 'two', 'three'].map((name) => object(name))
  await using made = await rig(all)
  made.client.send(...all.map((each) => ({ type: 'DELETED' as const, object: each })))
  await made.until(() => made.policies.list().length === 0)
  assert.deepEqual(made.kernel.log, ['+one +two +three', '-one -two -three'])
})

test('kubernetes policies: their changes are reported as those of the cluster', async () => {
  await using made = await rig([object('one'), object('two')])
  made.client.send({ type: 'MODIFIED', object: object('one', 'g') }, { type: 'DELETED', object: object('two') })
  await made.until(() => made.changes.length === 4)
  assert.deepEqual(made.changes.slice(0, 2), ['policy_added one by cluster', 'policy_added two by cluster'])
  assert.deepEqual(made.changes.slice(2).toSorted(), [
    'policy_removed two by cluster',
    'policy_replaced one by cluster',
  ])
})

test('kubernetes policies: a removal that the kernel refuses keeps no other change out, and is tried again', async ({
  mock,
}) => {
  await using made = await rig([object('one'), object('back')])
  mock.timers.enable({ apis: ['setTimeout'] })
  made.kernel.keep = () => new CollectorError('POLICY_REFUSED', 'no memory')
  made.client.send(...['one', 'back'].map((name) => ({ type: 'DELETED' as const, object: object(name) })), {
    type: 'ADDED',
    object: object('two'),
  })
  await made.until(() => made.told.length === 1)
  assert.deepEqual(made.kernel.names, ['one', 'back', 'two'])
  assert.ok(made.lines.includes('cannot remove policies, retrying: no memory'))
  made.kernel.keep = () => undefined
  // An object that is there again meanwhile stays.
  made.client.send({ type: 'ADDED', object: object('back') })
  await made.until(() => made.told.length === 2)
  mock.timers.tick(60_000)
  await made.until(() => made.lines.includes('policy removed'))
  assert.deepEqual(made.kernel.names, ['two', 'back'])
})

test('kubernetes policies: a refused version changes nothing, and its event has the reason', async () => {
  await using made = await rig([object('one')])
  made.client.send({ type: 'MODIFIED', object: object('one', 'f(int)') })
  await made.until(() => made.told.length === 1)
  assert.deepEqual(made.told, [
    'Warning Refused one spec.kprobes[0].call: expected the name of a kernel function, got "f(int)"; the previous version stays attached',
  ])
  assert.deepEqual(made.kernel.names, ['one'])
  // A policy without an earlier good version is refused without that part of the message.
  made.client.send({ type: 'ADDED', object: object('two', 'g', { annotations: { 'ktrail.one-of/x': 'h' } }) })
  await made.until(() => made.told.length === 2)
  assert.match(
    made.told[1] ?? '',
    /^Warning Refused two metadata\.annotations\["ktrail\.one-of\/x"\]: expected calls .*"h"/,
  )
})

test('kubernetes policies: an update without a change of the spec does nothing', async () => {
  const labels = { a: 'b' }
  await using made = await rig([object('one', 'f', { labels })])
  const applied = { annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}' } }
  made.client.send(
    { type: 'MODIFIED', object: object('one', 'f', { labels, ...applied, resourceVersion: '9', generation: 2 }) },
    { type: 'ADDED', object: object('two') },
  )
  await made.until(() => made.kernel.names.includes('two'))
  assert.deepEqual(made.kernel.log, ['+one', '+two'])
  assert.match(made.told[0] ?? '', /^Normal Attached two attached, 1 hook; this kernel has no g, skipped$/)
  made.client.send({ type: 'DELETED', object: object('one') }, { type: 'DELETED', object: object('unknown') })
  await made.until(() => made.lines.includes('policy removed'))
  assert.deepEqual(made.kernel.names, ['two'])
})

test('kubernetes policies: filters go to the API server, names are chosen here', async () => {
  await using made = await rig([object('audit-x'), object('other')], {
    policy_names: ['^audit-'],
    policy_selector: 'a=b',
  })
  assert.deepEqual(made.kernel.names, ['audit-x'])
  assert.deepEqual(new Set(made.client.queries.map(({ labelSelector }) => labelSelector)), new Set(['a=b']))
})

test('kubernetes policies: the agent starts without an API server, and stops while it waits for one', async () => {
  const kernel = new FakeKernel()
  const policies = new Policies(kernel)
  const client = new FakeServer([])
  client.refusal = new CollectorError('KUBERNETES_UNREACHABLE', 'kubernetes: away')
  const lines: string[] = []
  const line = (_: unknown, text?: string): void => void lines.push(text ?? '')
  const log = { info: line, warn: line, error: line }
  const events = { record: (): void => assert.fail('no events') }
  const source = new KubernetesPolicies({ client, events, config: {}, policies, nodeName: 'node-1', log })
  await source.start(20)
  assert.deepEqual(new Set(lines), new Set(['policies of the API server stay as they are: kubernetes: away']))
  await source[Symbol.asyncDispose]()
})

const onSsd = (name: string): KubernetesObject => ({
  ...object(name),
  spec: { kprobes: [{ call: 'f', syscall: false }], nodeSelector: { matchLabels: { disk: 'ssd' } } },
})

test('kubernetes policies: with a nodeSelector they are attached on nodes with such labels, as these change', async () => {
  await using made = await rig([onSsd('one'), object('two')])
  assert.deepEqual(made.kernel.names, ['two'])
  assert.ok(made.lines.includes('policy skipped: its nodeSelector does not match this node'))
  made.client.labels = { disk: 'ssd' }
  made.client.send()
  await made.until(() => made.kernel.names.includes('one'))
  made.client.labels = {}
  made.client.send()
  await made.until(() => made.lines.includes('policy removed: its nodeSelector does not match this node'))
  assert.deepEqual(made.kernel.names, ['two'])
})

test('kubernetes policies: with a nodeSelector they are attached where the labels cannot be read, with a warning', async () => {
  const client = new FakeServer([onSsd('one')])
  client.labels = undefined
  await using made = await rig([], {}, client)
  assert.deepEqual(made.kernel.names, ['one'])
  assert.match(made.lines.join(), /the labels of this node are unknown .*: may not list nodes/)
})

test('kubernetes policies: without a nodeSelector no node is asked for', async () => {
  await using made = await rig([object('one')])
  assert.ok(made.client.listed.includes('tracingpolicies'))
  assert.ok(!made.client.listed.includes('nodes'))
})
