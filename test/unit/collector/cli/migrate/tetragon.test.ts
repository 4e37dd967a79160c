/** `ktrail migrate tetragon`: the config of Tetragon's settings, which ktrail's own parser reads, and the settings that it names. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { loadConfig } from '../../../../../config/agent/load.ts'
import { Folder } from '../../../exporters/support/folder.ts'
import { typed } from '../support/terminal.ts'

interface Migrated {
  readonly written: unknown
  /** Setting to reason. */
  readonly notes: Readonly<Record<string, string>>
}

async function migrated(...texts: string[]): Promise<Migrated> {
  using folder = new Folder()
  const files = texts.map((text, i) => {
    writeFileSync(folder.at(`${i}.yaml`), text)
    return folder.at(`${i}.yaml`)
  })
  const { code, stdout, stderr } = await typed(['migrate', 'tetragon', ...files])
  assert.deepEqual([code, stderr], [0, ''], stdout)
  assert.match(stdout, /^# yaml-language-server: \$schema=\/\S+\/config\/schema\.json\n# Tetragon's /)
  const loaded = loadConfig(stdout, 'ktrail.yaml', {})
  assert.ok('config' in loaded, `${stdout}\n${JSON.stringify(loaded)}`)
  assert.deepEqual(loaded.warnings, [])
  const notes = [...stdout.matchAll(/^# {3}(\S.*?): .*\n# {5}(.*)$/gm)].map(([, key = '', why = '']) => [key, why])
  return { written: loaded.written, notes: Object.fromEntries(notes) }
}

test('migrate tetragon: flags of tetragon.yaml become keys of the config', async () => {
  const { written, notes } = await migrated(`
tracing-policy: /etc/tetragon/one.yaml
export-filename: /var/log/tetragon/tetragon.log
export-file-max-size-mb: 50
export-file-max-backups: 3
export-file-compress: true
export-file-rotation-interval: 1h30m
export-file-perm: "640"
export-rate-limit: 6000
export-allowlist: '{"event_set":["PROCESS_EXEC","PROCESS_KPROBE"],"binaryRegex":["^/usr/bin/(?:a|b)$"]}'
export-denylist: |
  {"health_check":true}
  {"namespace":["kube-system",""], "pod_regex": ["$\${X}"]}
field-filters: '{"event_set":["PROCESS_EXEC"],"fields":"process.binary,parent.execId","action":"INCLUDE"}'
redaction-filters: '{"binary_regex":["(?:^|/)foo$"],"redact":["-p(?:\\\\s+|=)(\\\\S*)"]}'
metrics-server: :2112
server-address: unix:///run/t.sock
enable-process-cred: true
enable-process-ns: "true"
enable-ancestors: base,kprobe
username-metadata: unix
rb-size-total: 5M
log-format: json
debug: true
procfs: /proc
enable-cri: true
cri-endpoint: unix:///run/containerd/containerd.sock
btf: ""
gops-address: localhost:8118
process-cache-size: 65536
`)
  assert.deepEqual(written, {
    policies: ['/etc/tetragon/tetragon.tp.d', '/etc/tetragon/one.yaml'],
    server: { http: '0.0.0.0:2112', grpc: 'unix:///run/t.sock' },
    enable_process_cred: true,
    enable_process_ns: true,
    enable_ancestors: ['base', 'kprobe'],
    username_metadata: 'unix',
    ring: { size: '8388608B' },
    log: { format: 'json', level: 'debug' },
    procfs: '/proc',
    containers: { sockets: ['/run/containerd/containerd.sock'] },
    exporters: {
      archive: {
        type: 'file',
        path: '/var/log/tetragon/tetragon.log',
        rotate: { max_size: '50MiB', max_files: 3, compress: true, interval: '5400s' },
        mode: '0640',
        rate_limit: { events: 6000, per: '1m' },
        filter: {
          allow: [{ event_set: ['PROCESS_EXEC', 'PROCESS_KPROBE'], binary_regex: ['^/usr/bin/(?:a|b)$'] }],
          deny: [{ health_check: true }, { namespace: ['kube-system', ''], pod_regex: ['$${X}'] }],
        },
        fields: [{ event_set: ['PROCESS_EXEC'], fields: 'process.binary,parent.execId', action: 'INCLUDE' }],
        redact: [{ binary_regex: ['(?:^|/)foo$'], redact: ['-p(?:\\s+|=)(\\S*)'] }],
      },
    },
  })
  assert.deepEqual(notes, {
    'gops-address': 'no counterpart',
    'process-cache-size': 'memory.process_table is in bytes; its default holds 100,000 processes',
  })
})

test('migrate tetragon: a setting that ktrail would refuse is a comment with the reason, and more events pass', async () => {
  const { written, notes } = await migrated(`
export-filename: /t.log
export-file-perm: rw
export-file-max-backups: 0
export-file-rotation-interval: soon
export-rate-limit: 0
export-allowlist: '{"cel_expression":["true"]}'
export-denylist: 'not JSON'
field-filters: '{"fields":"process.nothing"}'
redaction-filters: '{"redact":["(["]}'
server-address: localhost:54321
enable-ancestors: base,uprobe
rb-size: 1M
procfs: relative
cluster-name: prod
keep-sensors-on-exit: false
constructor: x
`)
  const exporters = { archive: { type: 'file', path: '/t.log' } }
  assert.partialDeepStrictEqual(written, { policies: ['/etc/tetragon/tetragon.tp.d'], exporters })
  const want: Readonly<Record<string, RegExp>> = {
    'export-file-perm': /mode: expected an octal file mode/,
    'export-file-max-backups': /max_files: expected/,
    'export-file-rotation-interval': /^expected a duration such as 24h, got soon$/,
    'export-rate-limit': /rate_limit\.events: expected/,
    'export-allowlist': /"cel_expression" is not built/,
    'export-denylist': /JSON/,
    'field-filters': /process\.nothing/,
    'redaction-filters': /redact\[0\]: /,
    'server-address': /^server\.grpc on host and port requires server\.tls; the default is unix:/,
    'enable-ancestors': /enable_ancestors\[1\]: /,
    'rb-size': /^ring\.size is for all CPUs together$/,
    'cluster-name': /^set cluster_name of an exporter of type otlp$/,
    constructor: /^no counterpart$/,
  }
  assert.deepEqual(Object.keys(notes).toSorted(), Object.keys(want).toSorted())
  for (const [key, reason] of Object.entries(want)) assert.match(notes[key] ?? '', reason, key)
})

test('migrate tetragon: values of the chart, with the defaults of the chart', async () => {
  const filter = {
    allow: [
      {
        event_set: ['EXEC', 'EXIT', 'KPROBE', 'UPROBE', 'TRACEPOINT', 'LSM'].map((type) => `PROCESS_${type}`),
      },
    ],
    deny: [{ health_check: true }, { namespace: ['', 'cilium', 'kube-system'] }],
  }
  const printed = await migrated('tetragon: {enabled: true, enableProcessCred: true}\ntolerations: []\n')
  assert.deepEqual(printed.written, {
    kubernetes: { pods: true, policies: true },
    server: { http: '0.0.0.0:2112' },
    enable_process_cred: true,
    exporters: { screen: { type: 'stdout', filter } },
  })
  assert.deepEqual(printed.notes, { 'values of the chart': 'see docs/start/kubernetes.md' })

  const filed = await migrated(
    'export: {mode: ""}\nexportDirectory: /var/log/t\n',
    `
tetragon:
  exportFilename: e.log
  exportAllowList: ""
  exportDenyList: '{"namespace":["kube-system"]}'
  exportFileMaxSizeMB: 20
  enableK8sAPI: false
  prometheus: {enabled: false}
  grpc: {enabled: true, address: "localhost:54321"}
  extraArgs: {enable-ancestors: [base, lsm]}
`,
  )
  assert.deepEqual(filed.written, {
    policies: ['/etc/tetragon/tetragon.tp.d'],
    kubernetes: { pods: false, policies: true },
    enable_ancestors: ['base', 'lsm'],
    exporters: {
      archive: {
        type: 'file',
        path: '/var/log/t/e.log',
        rotate: { max_size: '20MiB' },
        filter: { deny: [{ namespace: ['kube-system'] }] },
      },
    },
  })
  assert.match(filed.notes['server-address'] ?? '', /^server\.grpc on host and port requires server\.tls/)
})

test('migrate tetragon: the ConfigMap of the chart', async () => {
  const { written } = await migrated(`
apiVersion: v1
kind: ConfigMap
metadata: {name: tetragon-config}
data:
  procfs: /procRoot
  enable-k8s-api: "true"
  enable-tracing-policy-crd: "false"
  export-filename: /var/run/cilium/tetragon/tetragon.log
  server-address: 0.0.0.0:54321
  server-tls-cert-file: /tls/tls.crt
  server-tls-key-file: /tls/tls.key
  server-tls-client-ca-files: /tls/ca.crt
`)
  assert.deepEqual(written, {
    kubernetes: { pods: true, policies: false },
    server: {
      grpc: '0.0.0.0:54321',
      tls: { cert_file: '/tls/tls.crt', key_file: '/tls/tls.key', ca_file: '/tls/ca.crt' },
    },
    exporters: { archive: { type: 'file', path: '/var/run/cilium/tetragon/tetragon.log' } },
  })
})

test('migrate tetragon: folders of drop-in files, the last one wins', async () => {
  using folder = new Folder()
  for (const [name, settings] of Object.entries({
    a: { 'export-filename': '/a.log\n', 'enable-process-cred': 'true' },
    b: { 'export-filename': '/b.log', 'tracing-policy-dir': '/p' },
  })) {
    mkdirSync(folder.at(name))
    for (const [flag, value] of Object.entries(settings)) writeFileSync(folder.at(`${name}/${flag}`), value)
  }
  const { code, stdout } = await typed(['migrate', 'tetragon', folder.at('a'), folder.at('b')])
  const loaded = loadConfig(stdout, 'ktrail.yaml', {})
  assert.deepEqual(
    [code, 'written' in loaded && loaded.written],
    [0, { enable_process_cred: true, policies: ['/p'], exporters: { archive: { type: 'file', path: '/b.log' } } }],
  )
  mkdirSync(folder.at('b/inner'))
  const refused = await typed(['migrate', 'tetragon', folder.at('b')])
  assert.deepEqual([refused.code, refused.stdout.startsWith(folder.at('b/inner'))], [78, true])
})

test('migrate tetragon: no YAML, no mapping, no file', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('list.yaml'), '[1]\n')
  const { code, stdout } = await typed(['migrate', 'tetragon', folder.at('list.yaml')])
  assert.equal(code, 78)
  assert.match(stdout, /list\.yaml:1:1: config file: expected a YAML mapping, got a list\n$/)
  assert.equal((await typed(['migrate', 'tetragon', folder.at('none.yaml')])).code, 78)
  await assert.rejects(typed(['migrate', 'tetragon']), /migrate tetragon requires a file, or - for standard input$/)
})

const FOREIGN: ReadonlyArray<readonly [name: string, text: string, message: RegExp]> = [
  [
    'a policy',
    'kind: TracingPolicy\nmetadata: { name: p }\nspec: {}\n',
    /it is a TracingPolicy, which ktrail reads as it is: run ktrail check FILE/,
  ],
  ['a policy of a namespace', 'kind: TracingPolicyNamespaced\n', /it is a TracingPolicyNamespaced, which ktrail reads/],
  ['another object', 'kind: Deployment\nspec: {}\n', /got an object of kind Deployment$/],
  ['a Compose file', 'services: { web: { image: x } }\nvolumes: { a: {} }\n', /got services, volumes with keys below$/],
  ['a config of ktrail', 'exporters: { a: { type: stdout } }\n', /got exporters with keys below$/],
  ['rules of Falco', 'rules: [{ rule: x }]\n', /got rules with keys below$/],
]

test('migrate tetragon: a file without settings of Tetragon is named, and nothing is printed as a config', async () => {
  using folder = new Folder()
  for (const [name, text, message] of FOREIGN) {
    const file = folder.at('x.yaml')
    writeFileSync(file, text)
    const { code, stdout } = await typed(['migrate', 'tetragon', file])
    assert.equal(code, 78, name)
    assert.match(stdout.trimEnd(), message, name)
    assert.ok(stdout.startsWith(`${file}:1:1: `) && !stdout.includes('\nexporters:'), stdout)
  }
})
