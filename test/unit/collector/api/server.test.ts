/** The API over its socket, with a client that is made from the tables. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync, statSync } from 'node:fs'
import { connect as connectHttp2, constants } from 'node:http2'
import { connect } from 'node:net'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'
import { Client, credentials, status } from '@grpc/grpc-js'
import type { ChannelCredentials } from '@grpc/grpc-js'
import { HealthCheckRequestSchema, HealthCheckResponseSchema } from '../../../../collector/proto/grpc/health_pb.js'
import {
  ServerReflectionRequestSchema,
  ServerReflectionResponseSchema,
} from '../../../../collector/proto/grpc/reflection_pb.js'
import type { ServerReflectionRequest } from '../../../../collector/proto/grpc/reflection_pb.js'
import { probesOf } from '../../../../collector/api/services/info.ts'
import type { KernelFacts } from '../../../../collector/plan/facts.ts'
import { version } from '../../../../config/base/own.ts'
import { createAuthority, withoutOpenssl } from '../../../support/authority.ts'
import { Folder } from '../../exporters/support/folder.ts'
import { kernel as facts } from '../support/facts.ts'
import { policyOf } from '../support/policies.ts'
import { exec, fork, scanned } from '../support/processes.ts'
import { NOTHING_DONE } from '../../../../collector/kernel/actions/acted.ts'
import { Rig } from './support/rig.ts'
import { TableClient } from './support/tables.ts'

const POLICY = `apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata:
  name: etc
spec:
  kprobes:
    - call: security_file_permission
      syscall: false
      args: [{ index: 0, type: file }]
`

test('api: the socket is for its owner only, and the socket of a killed agent is replaced', async () => {
  for (let i = 0; i < 2; i++) {
    await using rig = await Rig.start()
    assert.equal(statSync(rig.path).mode & 0o777, 0o600)
    assert.deepEqual(await rig.client().ask('GetVersion'), { version: version() })
  }
})

test('api: disabled, it does not listen', async () => {
  for (const server of ['grpc: disabled', 'grpc: ""']) {
    await using rig = new Rig(server)
    assert.equal(await rig.api.serve(), undefined)
  }
})

test('api: if another program has the address, the agent continues without it, and names it', async () => {
  await using rig = await Rig.start()
  await using second = new Rig(`grpc: "unix://${rig.path}"`)
  assert.equal(await second.api.serve(), undefined)
  assert.match(second.api.listening?.problem ?? '', /used by a program that listens; set server\.grpc/)
  assert.match(second.logged.join(''), /"level":50,.*cannot listen on unix:/)
})

test('api: health is that of the agent', async () => {
  await using rig = await Rig.start()
  const health = (): Promise<unknown> => rig.client().ask('GetHealth', { event_set: ['HEALTH_STATUS_TYPE_STATUS'] })
  assert.deepEqual(await health(), {
    health_status: [{ event: 'HEALTH_STATUS_TYPE_STATUS', status: 'HEALTH_STATUS_RUNNING', details: 'running' }],
  })
  rig.ready = false
  assert.match(JSON.stringify(await health()), /HEALTH_STATUS_STOPPED.*not ready/)
})

test('api: info has the probes of this kernel and the config under the names of flags', async () => {
  await using rig = await Rig.start()
  const info = JSON.stringify(await rig.client().ask('GetInfo'))
  assert.match(info, /"name":"ktrail"/)
  assert.match(info, /\{"Name":"kprobe_multi","Enabled":true\}/)
  assert.match(info, /\{"key":"disable-process-cache","value":\{"value":false,"@type":"[^"]*BoolValue"\}\}/)
  assert.match(info, /\{"key":"export-filename","value":\{"value":"\/x\/events.jsonl","@type":"[^"]*StringValue"\}\}/)
})

const PROBES: ReadonlyArray<readonly [what: string, change: Partial<KernelFacts>, without: readonly string[]]> = [
  ['everything', { lsms: 'landlock,apparmor,bpf' }, []],
  ['everything but the BPF LSM', { lsms: 'landlock,apparmor' }, ['lsm']],
  ['no fprobe', { lsms: 'bpf', fprobe: false }, ['kprobe_multi', 'missed_stats_kprobe_multi']],
  ['no bpf_override_return', { lsms: 'bpf', override: false }, ['override_return']],
  ['no error injection', { lsms: 'bpf', errorInjection: false }, ['fmodret_syscall']],
  ['no trampolines', { lsms: 'bpf', trampolines: false }, ['fmodret', 'fmodret_syscall', 'fentry']],
  ['no security modules', { lsms: '', security: false }, ['fmodret', 'lsm']],
]

/** Probes of features that ktrail does not use on any kernel. */
const NEVER = [
  'buildid',
  'uprobe_multi',
  'link_pin',
  'batch_update',
  'uprobe_refctroff',
  'probe_write_user',
  'uprobe_regs_change',
  'mix_bpf_and_tail_calls',
]

for (const [what, change, without] of PROBES) {
  test(`api: probes of a kernel with ${what}`, () => {
    const off = Object.entries(probesOf(facts(6, 12, change))).filter(([, enabled]) => !enabled)
    assert.deepEqual(off.map(([name]) => name).toSorted(), [...NEVER, ...without].toSorted())
  })
}

test('api: unsupported calls are refused in a sentence', async () => {
  await using rig = await Rig.start('grpc: disabled', 'screen: { type: stdout }')
  await using other = await Rig.start()
  assert.equal(await rig.api.serve(), undefined)
  const client = other.client()
  for (const call of ['ListSensors', 'EnableSensor', 'DisableSensor', 'RemoveSensor']) {
    await assert.rejects(client.ask(call), {
      code: status.UNIMPLEMENTED,
      details: /sensors are deprecated/,
    })
  }
  await assert.rejects(client.ask('SetEventLogParams'), {
    code: status.UNIMPLEMENTED,
    details: /exporters\.NAME\.rotate/,
  })
  assert.deepEqual(await client.ask('GetEventLogParams'), { max_size: 64, rotation_interval: '0s', max_backups: 5 })
  await assert.rejects(client.ask('RuntimeHook'), {
    code: status.INVALID_ARGUMENT,
    details: /expected createContainer/,
  })
})

test('api: the level of the log is read and changed', async () => {
  await using rig = await Rig.start()
  const client = rig.client()
  assert.deepEqual(await client.ask('GetDebug'), { level: 'LOG_LEVEL_INFO' })
  assert.deepEqual(await client.ask('SetDebug', { level: 'LOG_LEVEL_TRACE' }), { level: 'LOG_LEVEL_TRACE' })
  assert.equal(rig.log.level, 'trace')
  assert.match(rig.logged.join(''), /the level of the log was changed over the API/)
  await assert.rejects(client.ask('SetDebug', {}), { code: status.INVALID_ARGUMENT })
  await assert.rejects(client.ask('SetDebug', { flag: 'CONFIG_FLAG_DUMP_PROCESS_CACHE' }), {
    code: status.INVALID_ARGUMENT,
  })
  await assert.rejects(client.ask('GetDebug', { flag: 7 }), { code: status.INVALID_ARGUMENT })
})

test('api: the dump of processes has the newest thousand', async () => {
  await using rig = await Rig.start()
  for (let pid = 1; pid <= 1500; pid++) rig.processes.addScanned(scanned(pid, 0))
  const answer = await rig.client().ask('GetDebug', { flag: 'CONFIG_FLAG_DUMP_PROCESS_CACHE', dump: {} })
  const pids = [...JSON.stringify(answer).matchAll(/"pid":(\d+)/g)].map(([, pid]) => Number(pid))
  assert.deepEqual([pids.length, pids[0], pids.at(-1)], [1000, 501, 1500])
  assert.match(JSON.stringify(answer), /"binary":"\/bin\/p1500".*"color":"inUse","refcnt":1/)
})

test('api: an exec_id finds one process only', async () => {
  await using rig = new Rig('grpc: disabled')
  const { processes } = rig
  const shell = processes.addScanned(scanned(100, 1))
  const child = processes.fork(fork(200, 5000, 100, shell.startLo), 0)
  const image = processes.exec(exec(200, 6000, 100, shell.startLo), 0)
  for (const each of [shell, child, image]) assert.equal(processes.named(each?.process.execId ?? ''), each?.process)
  const other = Buffer.from('other:6000:200').toString('base64')
  for (const id of ['', 'nonsense', other]) assert.equal(processes.named(id), undefined)
})

test('api: policies are added, listed, disabled, enabled and deleted', async () => {
  await using rig = await Rig.start()
  const { kernel } = rig
  const client = rig.client()
  assert.deepEqual(await client.ask('AddTracingPolicy', { yaml: POLICY }), {})
  assert.deepEqual(await client.ask('ListDomains'), { domains: ['grpc'] })
  assert.deepEqual(await client.ask('ListTracingPolicies'), {
    policies: [
      {
        id: '1',
        name: 'etc',
        sensors: ['generic_kprobe'],
        enabled: true,
        state: 'TP_STATE_PARTIALLY_ENABLED',
        mode: 'TP_MODE_MONITOR',
        stats: { action_counters: { post: '7' } },
        kernel_memory_bytes: '8192',
        domain: 'grpc',
        hook_statuses: [
          { section: 'fexit', state: 'STATUS_LOADED', hook_description: 'f' },
          { state: 'STATUS_CALL_NOT_FOUND', hook_description: 'g', hook_idx: 1 },
        ],
      },
    ],
  })
  await client.ask('DisableTracingPolicy', { name: 'etc' })
  assert.deepEqual(kernel.names, [])
  assert.match(JSON.stringify(await client.ask('ListTracingPolicies', { domain: 'grpc' })), /TP_STATE_DISABLED/)
  await client.ask('ConfigureTracingPolicy', { name: 'etc', enable: true, mode: 'TP_MODE_MONITOR' })
  assert.deepEqual(kernel.names, ['etc'])
  await client.ask('ConfigureTracingPolicy', { name: 'etc', enable: false })
  await client.ask('EnableTracingPolicy', { name: 'etc' })
  await client.ask('ConfigureTracingPolicy', { name: 'etc' })
  assert.deepEqual(kernel.names, ['etc'])
  await client.ask('DeleteTracingPolicy', { name: 'etc' })
  assert.deepEqual([kernel.names, await client.ask('ListTracingPolicies')], [[], {}])
  assert.deepEqual(kernel.log, ['+etc', '-etc', '+etc', '-etc', '+etc', '-etc'])
  assert.match(rig.logged.join(''), /"domain":"grpc","policy":"etc","msg":"policy removed over the API"/)
  // The client is this process.
  const peer = `api uid=${process.getuid?.()} pid=${process.pid}`
  assert.deepEqual(
    rig.changes.map(({ what, by, names }) => [what, by, names]),
    ['added', 'disabled', 'enabled', 'disabled', 'enabled', 'removed'].map((what) => [`policy_${what}`, peer, ['etc']]),
  )
})

test('api: actions of a policy’s selectors, in total and by selector', async () => {
  await using rig = await Rig.start()
  const client = rig.client()
  rig.kernel.done = [
    { hook: 0, selector: 0, label: 'first', posts: 5, done: { ...NOTHING_DONE, signal: 1, sigkill: 2, override: 3 } },
    {
      hook: 0,
      selector: 2,
      label: '',
      posts: 2,
      done: { ...NOTHING_DONE, nopost: 4, rate_limited: 6, monitor_signal: 8, monitor_sigkill: 1, not_done: 9 },
    },
  ]
  await client.ask('AddTracingPolicy', { yaml: POLICY })
  const answer: unknown = await client.ask('ListTracingPolicies')
  const { policies } = answer as { readonly policies: ReadonlyArray<{ readonly stats: object }> }
  // Tetragon's clients skip fields that it does not have.
  assert.deepEqual(policies[0]?.stats, {
    action_counters: { post: '7', signal: '3', monitor_signal: '9', override: '3', nopost: '4' },
    selector_action_counters: [
      {
        hook: 'f',
        hook_index: 0,
        selector_index: 0,
        action_counters: { post: '5', signal: '3', override: '3' },
        selector_label: 'first',
      },
      {
        hook: 'f',
        hook_index: 0,
        selector_index: 2,
        action_counters: { post: '2', monitor_signal: '9', nopost: '4' },
      },
    ],
  })
})

test('api: mistakes in a policy come with line and column, and change nothing', async () => {
  await using rig = await Rig.start()
  const client = rig.client()
  const yaml = POLICY.replace('type: file', 'type: fil').replace('syscall: false', 'sycall: false')
  const details = /^grpc:8:7: .*sycall.*\ngrpc:9:\d+: .*"fil".*$/
  await assert.rejects(client.ask('AddTracingPolicy', { yaml }), { code: status.INVALID_ARGUMENT, details })
  await assert.rejects(client.ask('AddTracingPolicy', { yaml: '' }), { code: status.INVALID_ARGUMENT })
  assert.deepEqual([rig.kernel.tries, await client.ask('ListTracingPolicies')], [[], {}])
})

test('api: a repeated or unknown policy, one of a file, and a change of mode are refused with a reason', async () => {
  await using rig = await Rig.start()
  const client = rig.client()
  const file = { source: '/etc/ktrail/policies/a.yaml', namespace: '', name: 'of-file' }
  await rig.policies.add(file, policyOf('of-file'))
  await rig.policies.add({ source: 'k8s', namespace: '', name: 'of-cluster' }, policyOf('of-cluster'))
  await client.ask('AddTracingPolicy', { yaml: POLICY })
  await client.ask('AddTracingPolicy', { yaml: POLICY, domain: 'mine' })
  const kill = 'spec: { kprobes: [{ call: sys_read, selectors: [{ matchActions: [{ action: Sigkill }] }] }] }'
  const yaml = `apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: { name: kill }\n${kill}\n`
  await client.ask('AddTracingPolicy', { yaml })
  await client.ask('ConfigureTracingPolicy', { name: 'kill', mode: 'TP_MODE_ENFORCE' })
  assert.match(JSON.stringify(await client.ask('ListTracingPolicies', { domain: 'grpc' })), /TP_MODE_ENFORCE/)
  await client.ask('DisableTracingPolicy', { name: 'etc', domain: 'mine' })
  const rows: ReadonlyArray<readonly [call: string, request: Record<string, string>, code: number, details: RegExp]> = [
    ['AddTracingPolicy', { yaml: POLICY }, status.ALREADY_EXISTS, /policy "etc" of grpc exists/],
    ['AddTracingPolicy', { yaml: POLICY, domain: 'mine' }, status.ALREADY_EXISTS, /of mine exists/],
    ['AddTracingPolicy', { yaml: POLICY, domain: '/etc/x' }, status.INVALID_ARGUMENT, /^domain: expected lower-case/],
    ['AddTracingPolicy', { yaml: POLICY, domain: 'k8s' }, status.INVALID_ARGUMENT, /^domain: "k8s" .*: use kubectl$/],
    ['DeleteTracingPolicy', { name: 'of-cluster', domain: 'k8s' }, status.FAILED_PRECONDITION, /delete it there with/],
    ['DeleteTracingPolicy', { name: 'et' }, status.NOT_FOUND, /^no policy "et" in the domain "grpc"$/],
    ['DeleteTracingPolicy', { name: 'etc', namespace: 'a' }, status.NOT_FOUND, /^no policy/],
    ['EnableTracingPolicy', { name: 'of-file' }, status.NOT_FOUND, /there is one in the domain "\/etc\/ktrail/],
    ['DeleteTracingPolicy', { name: 'of-file', domain: file.source }, status.FAILED_PRECONDITION, /remove the file/],
    [
      'ConfigureTracingPolicy',
      { name: 'etc', mode: 'TP_MODE_ENFORCE' },
      status.FAILED_PRECONDITION,
      /expected monitor, because/,
    ],
    [
      'ConfigureTracingPolicy',
      { name: 'kill', mode: 'TP_MODE_MONITOR' },
      status.FAILED_PRECONDITION,
      /expected enforce, because/,
    ],
  ]
  for (const [call, request, code, details] of rows) {
    await assert.rejects(client.ask(call, request), { code, details }, `${call} ${JSON.stringify(request)}`)
  }
  await client.ask('DisableTracingPolicy', { name: 'of-file', domain: file.source })
  assert.deepEqual(rig.kernel.names, ['of-cluster', 'etc', 'kill'])
})

test('api: a policy that the kernel refuses is listed with its error, and can be deleted', async () => {
  await using rig = await Rig.start()
  const client = rig.client()
  rig.kernel.refuse = () => new Error('no such symbol')
  await assert.rejects(client.ask('AddTracingPolicy', { yaml: POLICY }), {
    code: status.INTERNAL,
    details: /no such symbol/,
  })
  const listed = JSON.stringify(await client.ask('ListTracingPolicies'))
  assert.match(listed, /"error":"no such symbol","state":"TP_STATE_LOAD_ERROR"/)
  await client.ask('DeleteTracingPolicy', { name: 'etc' })
  assert.deepEqual(await client.ask('ListTracingPolicies'), {})
})

test('api: at most 1,024 policies are added', async () => {
  await using rig = await Rig.start()
  await rig.policies.put(
    Array.from({ length: 1024 }, (_, i) => ({
      id: { source: 'grpc', namespace: '', name: `p${i}` },
      policy: policyOf(`p${i}`),
      replaces: [],
    })),
  )
  await assert.rejects(rig.client().ask('AddTracingPolicy', { yaml: POLICY }), { code: status.RESOURCE_EXHAUSTED })
})

test('api: a request is at most as large as a policy file may be', async () => {
  await using rig = await Rig.start()
  const client = rig.client()
  const large = `${POLICY}#${'x'.repeat(255 << 10)}\n`
  await client.ask('AddTracingPolicy', { yaml: large })
  await assert.rejects(client.ask('AddTracingPolicy', { yaml: large.repeat(3) }), { code: status.RESOURCE_EXHAUSTED })
})

test('api: connections are bounded, and clients that send garbage or nothing do no harm', async () => {
  await using rig = await Rig.start()
  const sockets = Array.from({ length: 200 }, () => connect(rig.path))
  for (const socket of sockets) socket.resume().on('error', () => {})
  let open = sockets.length
  for (const socket of sockets) socket.on('close', () => open--)
  for (const socket of sockets) socket.write('GET / HTTP/1.1\r\n\r\n'.repeat(100))
  await Promise.all(sockets.map((socket) => once(socket, 'close').catch(() => {})))
  assert.equal(open, 0)
  assert.deepEqual(await rig.client().ask('GetVersion'), { version: version() })
})

function callOf(rig: Rig): Client {
  return new Client(`unix://${rig.path}`, credentials.createInsecure())
}

test('api: a client that resets many calls at once is disconnected, others are not', async () => {
  await using rig = new Rig()
  await rig.api.serve()
  const session = connectHttp2('http://localhost', { createConnection: () => connect(rig.path) })
  const failed = once(session, 'error', { signal: AbortSignal.timeout(5000) })
  for (let i = 0; i < 300 && !session.closed; i++) {
    const call = session.request({ ':method': 'POST', ':path': '/tetragon.FineGuidanceSensors/GetVersion' })
    call.on('error', () => {})
    call.close(constants.NGHTTP2_CANCEL)
    // At most 16 may be open.
    if (i % 10 === 0) await setImmediate()
  }
  await failed
  assert.deepEqual(await rig.client().ask('GetVersion'), { version: version() })
})

test('api: the standard health service answers, and reports the end to watchers', async () => {
  await using rig = await Rig.start()
  using client = Object.assign(callOf(rig), { [Symbol.dispose]: () => client.close() })
  const send = (service: string): Buffer =>
    Buffer.from(toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, { service })))
  const receive = (bytes: Buffer): number => fromBinary(HealthCheckResponseSchema, bytes).status
  const check = (service: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest('/grpc.health.v1.Health/Check', send, receive, service, (error, answer) =>
        error === null ? resolve(answer) : reject(error),
      )
    })
  for (const service of ['', 'liveness', 'tetragon.FineGuidanceSensors']) assert.equal(await check(service), 1)
  rig.ready = false
  assert.equal(await check(''), 2)
  rig.ready = true
  await assert.rejects(check('other'), { code: status.NOT_FOUND })
  const watch = client.makeServerStreamRequest('/grpc.health.v1.Health/Watch', send, receive, '')
  assert.deepEqual(await once(watch, 'data'), [1])
  const next = once(watch, 'data')
  await rig.api[Symbol.asyncDispose]()
  assert.deepEqual(await next, [2])
})

test('api: reflection names the services and gives their files', async () => {
  await using rig = await Rig.start()
  using client = Object.assign(callOf(rig), { [Symbol.dispose]: () => client.close() })
  const names = new Set<string>()
  for (const service of ['grpc.reflection.v1', 'grpc.reflection.v1alpha']) {
    const call = client.makeBidiStreamRequest(
      `/${service}.ServerReflection/ServerReflectionInfo`,
      (request: ServerReflectionRequest['messageRequest']) =>
        Buffer.from(
          toBinary(ServerReflectionRequestSchema, create(ServerReflectionRequestSchema, { messageRequest: request })),
        ),
      (bytes) => fromBinary(ServerReflectionResponseSchema, bytes).messageResponse,
    )
    const ask = async (request: ServerReflectionRequest['messageRequest']) => {
      call.write(request)
      const [answer] = await once(call, 'data')
      return answer
    }
    const list = await ask({ case: 'listServices', value: '' })
    assert.deepEqual(
      list.value.service.map(({ name }: { name: string }) => name),
      [
        'tetragon.FineGuidanceSensors',
        'tetragon.EventLogService',
        'ktrail.v1.Exporters',
        'grpc.health.v1.Health',
        'grpc.reflection.v1.ServerReflection',
      ],
    )
    for (const value of [
      'tetragon.FineGuidanceSensors',
      'tetragon.ProcessExec',
      'tetragon.FineGuidanceSensors.GetEvents',
      'tetragon.GetInfoResponse.Probe',
    ]) {
      const { value: found } = await ask({ case: 'fileContainingSymbol', value })
      for (const bytes of found.fileDescriptorProto) names.add(fromBinary(FileDescriptorProtoSchema, bytes).name)
    }
    assert.equal((await ask({ case: 'fileByFilename', value: 'tetragon/bpf.proto' })).case, 'fileDescriptorResponse')
    assert.equal((await ask({ case: 'fileByFilename', value: 'no.proto' })).case, 'errorResponse')
    assert.equal((await ask({ case: 'allExtensionNumbersOfType', value: 'x' })).case, 'errorResponse')
    call.end()
  }
  assert.ok(names.has('tetragon/sensors.proto') && names.has('google/protobuf/timestamp.proto'))
})

test('api: on a port, server and client both need certificates', { skip: withoutOpenssl() }, async () => {
  using folder = new Folder()
  const own = createAuthority(folder.path, 'own')
  const other = createAuthority(folder.path, 'other')
  const tls = `tls: { cert_file: ${own.cert}, key_file: ${own.key}, ca_file: ${own.ca} }`
  await using rig = new Rig(`grpc: "127.0.0.1:0", ${tls}`)
  const address = await rig.api.serve()
  assert.match(address ?? '', /^127\.0\.0\.1:[1-9]/)
  const ask = async (secure: ChannelCredentials): Promise<unknown> => {
    using client = new TableClient(address ?? '', secure)
    return await client.ask('GetVersion')
  }
  const [ca, key, cert] = [own.ca, own.key, own.cert].map((path) => readFileSync(path))
  assert.deepEqual(await ask(credentials.createSsl(ca, key, cert)), { version: version() })
  using client = new TableClient(address ?? '', credentials.createSsl(ca, key, cert))
  await client.ask('AddTracingPolicy', { yaml: POLICY })
  assert.match(rig.changes[0]?.by ?? '', /^api 127\.0\.0\.1:\d+$/)
  for (const refused of [
    credentials.createInsecure(),
    credentials.createSsl(ca),
    credentials.createSsl(ca, readFileSync(other.key), readFileSync(other.cert)),
    credentials.createSsl(readFileSync(other.ca), key, cert),
  ]) {
    await assert.rejects(ask(refused), { code: status.UNAVAILABLE })
  }
  const wrong = new Rig(`grpc: "127.0.0.1:0", ${tls.replace(own.key, other.key)}`)
  await assert.rejects(wrong.api.serve(), { code: 'UNUSABLE', message: /tls\.key_file: expected the key of/ })
})
