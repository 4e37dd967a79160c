/** `ktrail check` of files that an agent would refuse at its start, or that it would never use; and `--strict`. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { after, describe, it, test } from 'node:test'
import { ktrail } from '../../../../../collector/cli/ktrail.ts'
import { linkWarnings } from '../../../../../collector/cli/check/links.ts'
import { parsePolicy } from '../../../../../config/policy/parse.ts'
import { createAuthority, withoutOpenssl } from '../../../../support/authority.ts'
import { Folder } from '../../../exporters/support/folder.ts'

interface Result {
  readonly code: number
  readonly lines: readonly string[]
  readonly err: readonly string[]
}

async function check(folder: Folder, ...args: string[]): Promise<Result> {
  const err: string[] = []
  let out = ''
  const code = await ktrail(['check', ...args], {
    env: {},
    print: (text) => Promise.resolve(((out += String(text)), true)),
    printError: (line) => void err.push(line),
    nowMs: () => 0,
  })
  const lines = out
    .split('\n')
    .filter((line) => line !== '' && !/\(kernel of this machine|on this machine, /.test(line))
  return { code, lines: lines.map((line) => line.replaceAll(`${folder.path}/`, '')), err }
}

const folder = new Folder()
after(() => folder[Symbol.dispose]())
const at = (name: string): string => folder.at(name)
const openssl = withoutOpenssl()

mkdirSync(at('folder'))
mkdirSync(at('empty'))
mkdirSync(at('texts'))
writeFileSync(at('texts/a.yml.bak'), '')
writeFileSync(at('file'), 'text')
symlinkSync(at('file'), at('link'))
execFileSync('mkfifo', [at('fifo')])
if (openssl === false) {
  createAuthority(folder.path, 'a')
  createAuthority(folder.path, 'b')
  execFileSync('openssl', ['x509', '-in', at('a-cert.pem'), '-outform', 'DER', '-out', at('a.der')])
  execFileSync('openssl', [
    'pkey',
    '-in',
    at('a-key.pem'),
    '-aes128',
    '-passout',
    'pass:secret',
    '-out',
    at('locked.pem'),
  ])
  writeFileSync(at('half.pem'), readFileSync(at('a-cert.pem'), 'utf8').slice(0, 200))
}

/** Keys of an exporter or of the top level, with `@` for the folder; lines without the place of the value. */
type Row = readonly [name: string, config: string, ...want: RegExp[]]

const otlp = (tls: string): string => `exporters: {out: {type: otlp, endpoint: "https://h:4318", tls: {${tls}}}}`
const kafka = (tls: string): string => `exporters: {out: {type: kafka, brokers: ["h:9093"], topic: t, tls: {${tls}}}}`
const grpc = (tls: string): string => `server: {grpc: "h:54321", tls: {${tls}}}\nexporters: {out: {type: stdout}}`
const file = (path: string): string => `exporters: {out: {type: file, path: ${path}}}`
const stdout = (keys: string): string => `exporters: {out: {type: stdout, ${keys}}}`

const PEM: readonly Row[] = [
  [
    'otlp: a certificate without key',
    otlp('cert_file: @a-cert.pem'),
    /tls\.cert_file: expected cert_file and key_file together, got one/,
  ],
  [
    'otlp: a key without certificate',
    otlp('key_file: @a-key.pem'),
    /tls\.key_file: expected cert_file and key_file together, got one/,
  ],
  [
    'otlp: the key of another certificate',
    otlp('cert_file: @a-cert.pem, key_file: @b-key.pem'),
    /tls\.key_file: expected the key of "a-cert\.pem", got that of another/,
  ],
  [
    'kafka: the key of another certificate',
    kafka('cert_file: @a-cert.pem, key_file: @b-key.pem'),
    /tls\.key_file: expected the key of/,
  ],
  [
    'grpc: the key of another certificate',
    grpc('cert_file: @a-cert.pem, key_file: @b-key.pem, ca_file: @a-ca.pem'),
    /server\.tls\.key_file: expected the key of/,
  ],
  [
    'otlp: key and certificate swapped',
    otlp('cert_file: @a-key.pem, key_file: @a-cert.pem'),
    /tls\.cert_file: expected certificates in PEM .*: found a private key; write it as key_file$/,
  ],
  [
    'otlp: a certificate as its own key',
    otlp('cert_file: @a-cert.pem, key_file: @a-cert.pem'),
    /tls\.key_file: expected a private key .*: found a certificate; write it as cert_file$/,
  ],
  [
    'otlp: a key with a passphrase',
    otlp('cert_file: @a-cert.pem, key_file: @locked.pem'),
    /tls\.key_file: .*: found a passphrase; remove it with openssl pkey$/,
  ],
  [
    'otlp: a request as certificate',
    otlp('cert_file: @a-csr.pem, key_file: @a-key.pem'),
    /tls\.cert_file: .*: found a request; use the certificate/,
  ],
  [
    'otlp: an authority in DER',
    otlp('ca_file: @a.der'),
    /tls\.ca_file: .*: found DER or PKCS #12; convert it with openssl x509 -inform der/,
  ],
  ['kafka: an authority in DER', kafka('ca_file: @a.der'), /tls\.ca_file: .*: found DER/],
  [
    'otlp: half a certificate as authority',
    otlp('ca_file: @half.pem'),
    /tls\.ca_file: expected certificates in PEM in "half\.pem": /,
  ],
  ['otlp: a key as authority', otlp('ca_file: @a-key.pem'), /tls\.ca_file: .*: found a private key/],
]

const PLACES: readonly Row[] = [
  [
    'otlp: a folder as authority',
    otlp('ca_file: @folder'),
    /tls\.ca_file: cannot read "folder": it is a folder; expected a regular file$/,
  ],
  ['kafka: a folder as authority', kafka('ca_file: @folder'), /tls\.ca_file: cannot read "folder": it is a folder/],
  ['otlp: a text as authority', otlp('ca_file: @file'), /tls\.ca_file: .*: found none$/],
  [
    'otlp: a device as authority',
    otlp('ca_file: /dev/null'),
    /tls\.ca_file: .*it is a device; expected a regular file$/,
  ],
  ['otlp: a FIFO as authority', otlp('ca_file: @fifo'), /tls\.ca_file: .*it is a FIFO; expected a regular file$/],
  [
    'file: a folder',
    file('@folder'),
    /path: cannot write to "folder": expected a regular file, got something else; choose another path$/,
  ],
  ['file: a device', file('/dev/null'), /path: cannot write to "\/dev\/null": expected a regular file/],
  ['file: a terminal', file('/dev/tty'), /path: cannot write to "\/dev\/tty": expected a regular file/],
  ['file: a FIFO', file('@fifo'), /path: cannot write to "fifo": expected a regular file/],
  ['file: a link', file('@link'), /path: cannot write to "link": expected a regular file/],
  [
    'file: below a file',
    file('@file/events.jsonl'),
    /path: cannot write to "file\/events\.jsonl": a part of its path is not a folder/,
  ],
  ['file: below a folder below a file', file('@file/a/events.jsonl'), /path: .*a part of its path is not a folder/],
  [
    'dead letters: a folder',
    stdout('dead_letter: {path: @folder}'),
    /dead_letter\.path: cannot write to "folder": expected a regular file/,
  ],
  [
    'dead letters: below a file',
    stdout('dead_letter: {path: @file/d.jsonl}'),
    /dead_letter\.path: .*a part of its path is not a folder/,
  ],
  [
    'spool: a file',
    stdout('spool: {dir: @file}'),
    /spool\.dir: cannot use "file\/out": a part of its path is not a folder/,
  ],
  [
    'spool: below a file',
    stdout('spool: {dir: @file/spool}'),
    /spool\.dir: cannot use "file\/spool\/out": a part of its path/,
  ],
  ['spool: a device', stdout('spool: {dir: /dev/null}'), /spool\.dir: .*a part of its path is not a folder/],
  [
    'file: no folder, nor that above',
    file('@no/such/events.jsonl'),
    /warning: exporters\.out\.path: .*its folder does not exist \(ENOENT\); make the folder/,
  ],
  [
    'policies: an empty folder',
    'policies: [@empty]\nexporters: {out: {type: stdout}}',
    /warning: policies\[0\]: "empty" has no \*\.yaml or \*\.yml file, and so no policy/,
  ],
  [
    'policies: a folder of other files',
    'policies: [library:shadow-read, @texts]\nexporters: {out: {type: stdout}}',
    /warning: policies\[1\]: "texts" has no \*\.yaml/,
  ],
  [
    'policies: an empty folder beside others',
    'policies: [library:shadow-read, @empty]\nexporters: {out: {type: stdout}}',
  ],
  ['a file that can be made, with its folder', file('@new/events.jsonl')],
  ['a spool that can be made', stdout('spool: {dir: @new/a/b}')],
]

describe('ktrail check of files that the agent uses', () => {
  for (const [i, [name, text, ...want]] of [...PEM, ...PLACES].entries()) {
    it(name, { skip: i < PEM.length && openssl }, async () => {
      writeFileSync(at('k.yaml'), `${text.replaceAll('@', `${folder.path}/`)}\n`, { mode: 0o600 })
      const { code, lines } = await check(folder, at('k.yaml'))
      const own = lines.filter((line) => !line.includes('holds a secret') || name.includes('swapped'))
      assert.equal(own.length, want.length, lines.join('\n'))
      for (const [j, pattern] of want.entries()) {
        assert.match(own[j] ?? '', pattern)
        assert.match(own[j] ?? '', /^k\.yaml:\d+:(?!1: )\d+: /)
      }
      assert.equal(code, own.some((line) => !line.includes(': warning: ')) ? 78 : 0)
    })
  }
})

const POLICY = `apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: p}
spec: {kprobes: [{call: security_file_permission, syscall: false, args: [{index: 0, type: file}, {index: 1, type: int}], TAGS selectors: [{matchArgs: [{index: 0, operator: OP, values: [VALUES]}]}]}]}
`
const policy = (operator: string, values: string, tags = ''): string =>
  POLICY.replace('TAGS', tags).replace('OP', operator).replace('VALUES', values)

test('check --strict fails on warnings, which are no mistakes without it', async () => {
  writeFileSync(at('p.yaml'), policy('Equal', '/etc//shadow'))
  writeFileSync(at('good.yaml'), policy('Equal', '/etc/shadow'))
  const summaries = await Promise.all(
    [['p.yaml'], ['p.yaml', '--strict'], ['good.yaml', '--strict']].map(async ([name = '', ...rest]) => {
      const { code, err } = await check(folder, at(name), ...rest)
      return [code, ...err]
    }),
  )
  assert.deepEqual(summaries, [
    [0, '1 file checked, no mistakes'],
    [78, '1 of 1 file with mistakes or warnings'],
    [0, '1 file checked, no mistakes'],
  ])
  for (const flag of ['--kernel', '--probe'])
    await assert.rejects(check(folder, '--strict', flag), /^Error: --strict applies only to files$/)
})

test('check of a config reports names of exporters that no policy has', async () => {
  writeFileSync(at('p.yaml'), policy('Equal', '/etc/shadow', 'tags: [pci],'))
  const severity = 'severity: {policies: {p: error, q: warn}, tags: {pci: error, pic: warn}}'
  writeFileSync(
    at('k.yaml'),
    `policies: [${at('p.yaml')}]
exporters:
  a: {type: otlp, endpoint: "http://h:4318", ${severity}}
  b: {type: kafka, brokers: ["h:9092"], topic: t, format: otlp_proto, otlp: {${severity}}}
`,
  )
  const { lines } = await check(folder, at('k.yaml'))
  assert.deepEqual(
    lines.map((line) => line.replace(/^.*warning: /, '')),
    ['a.severity', 'b.otlp.severity'].flatMap((key) => [
      `exporters.${key}.policies.q: expected the name of a policy of this config, got "q" (did you mean "p"?)`,
      `exporters.${key}.tags.pic: expected a tag of the policies of this config, got "pic" (did you mean "pci"?)`,
    ]),
  )
})

const LINKS: ReadonlyArray<readonly [text: string, ...want: string[]]> = [
  [policy('Equal', '/l/cat'), '"/l/cat" is a link, and the kernel writes "/usr/l/cat"'],
  [policy('Prefix', '/l/'), '"/l/" is a link, and the kernel writes "/usr/l/"'],
  [policy('Equal', '/l/cat, /usr/l/cat')],
  [policy('Equal', '/elsewhere')],
  [policy('Postfix', '/l/cat')],
  [
    policy('Equal', '/x').replace('matchArgs', 'matchBinaries: [{operator: In, values: [/l/cat]}], matchArgs'),
    '"/l/cat" is a link, and the kernel writes "/usr/l/cat"',
  ],
]

test('check warns of a path that is a link on this machine, and of none that the policy has, too', async () => {
  const resolve = (path: string): Promise<string | undefined> =>
    Promise.resolve(path.startsWith('/l/') ? `/usr${path}` : undefined)
  for (const [text, ...want] of LINKS) {
    const parsed = parsePolicy(text, 'p.yaml')
    assert.ok('policy' in parsed)
    const got = (await linkWarnings(parsed.policy, resolve)).map(({ message }) => message)
    assert.deepEqual(
      got,
      want.map((each) => `on this machine, ${each}; add this path`),
      text,
    )
  }
})

test('check resolves links in folders, and a link itself if the call opens a file', async () => {
  mkdirSync(at('real'))
  writeFileSync(at('real/f'), '')
  symlinkSync('real', at('by'))
  const messages = async (text: string): Promise<string[]> => {
    const parsed = parsePolicy(text, 'p.yaml')
    assert.ok('policy' in parsed)
    return (await linkWarnings(parsed.policy)).map(({ message }) => message.replaceAll(`${folder.path}/`, ''))
  }
  const unlinks = (path: string): string =>
    policy('Equal', path)
      .replace('security_file_permission', 'security_inode_unlink')
      .replace('0, type: file', '0, type: dentry')
      .replace(', {index: 1, type: int}', '')
  assert.deepEqual(await messages(policy('Equal', at('by/f'))), [
    'on this machine, "by/f" is a link, and the kernel writes "real/f"; add this path',
  ])
  assert.deepEqual(await messages(policy('Equal', at('link'))), [
    'on this machine, "link" is a link, and the kernel writes "file"; add this path',
  ])
  assert.deepEqual(await messages(policy('Equal', at('real/f'))), [])
  assert.deepEqual(await messages(policy('Equal', at('by/none'))), [])
  assert.deepEqual(await messages(unlinks(at('link'))), [])
})
