/** `ktrail init`: from options, and from answers on a terminal. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ktrail } from '../../../../collector/cli/ktrail.ts'
import { checkFile } from '../../../../config/agent/check.ts'
import { configJsonSchema, withSharedParts } from '../../../../config/agent/json-schema.ts'
import { loadConfig } from '../../../../config/agent/load.ts'
import type { Config } from '../../../../config/agent/schema.ts'
import { Folder } from '../../exporters/support/folder.ts'

async function init(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ['', '']
  const code = await ktrail(['init', ...args], {
    env: {},
    print: (text) => Promise.resolve(((out += String(text)), true)),
    printError: (line) => void (err += `${line}\n`),
    nowMs: () => 0,
  })
  return { code, out, err }
}

function configIn(text: string): Config {
  const loaded = loadConfig(text, 'k.yaml', {})
  assert.ok('config' in loaded, text)
  return loaded.config
}

const GOOD: ReadonlyArray<readonly [args: readonly string[], exporters: Readonly<Record<string, object>>]> = [
  [['--file', '/e.jsonl'], { archive: { type: 'file', path: '/e.jsonl' } }],
  [['--file', 'a: #b'], { archive: { type: 'file', path: join(process.cwd(), 'a: #b') } }],
  [['--otlp', 'http://c:4318'], { collector: { type: 'otlp', endpoint: 'http://c:4318', loki: false } }],
  [['--loki', 'http://l:3100'], { loki: { type: 'otlp', endpoint: 'http://l:3100/otlp', loki: true } }],
  [['--loki', 'http://l:3100/'], { loki: { type: 'otlp', endpoint: 'http://l:3100/otlp' } }],
  [['--loki', 'https://l/a/otlp'], { loki: { type: 'otlp', endpoint: 'https://l/a/otlp' } }],
  [['--kafka', 'a:1, b:2'], { bus: { type: 'kafka', brokers: ['a:1', 'b:2'], topic: 'ktrail.events' } }],
  [['--kafka', 'a:1', '--topic', 'x.{policy}'], { bus: { topic: 'x.{policy}' } }],
  [['--policies', 'config/policies'], { screen: { type: 'stdout', format: 'compact' } }],
  [
    ['--file', '/e', '--loki', 'http://l', '--otlp', 'http://o', '--kafka', 'k:1'],
    { archive: {}, collector: {}, loki: {}, bus: {} },
  ],
]

for (const [args, exporters] of GOOD) {
  test(`init ${args.join(' ')}: writes the matching config`, async () => {
    const { code, out } = await init(...args, '--output', '-')
    assert.equal(code, 0, out)
    const config = configIn(out)
    assert.partialDeepStrictEqual(config.exporters, exporters)
    assert.deepEqual(Object.keys(config.exporters), Object.keys(exporters))
    const named = args[0] === '--policies' ? join(process.cwd(), 'config/policies') : 'library:default'
    assert.deepEqual(configIn(out).policies, [named])
    // The settings in the comments are valid, too.
    configIn(out.replaceAll(/^ {4}# /gm, '    '))
  })
}

const BAD: ReadonlyArray<readonly [args: readonly string[], message: RegExp]> = [
  [['--loki', 'http://l/loki/api/v1/push'], /exporters\.loki\.endpoint: .*\/otlp/],
  [['--otlp', 'nonsense'], /exporters\.collector\.endpoint: /],
  [['--kafka', 'host'], /exporters\.bus\.brokers\[0\]: expected host:port/],
  [['--kafka', 'k:1', '--topic', 'a b'], /exporters\.bus\.topic: /],
  [['--policies', 'library:pic'], /policies\[0\]: the library has no policy or bundle "pic" \(did you mean "pci"\?\)/],
  [['--policies', '/nowhere'], /policies\[0\]: expected a policy file or a folder of them, got "\/nowhere"/],
]
for (const [args, message] of BAD) {
  test(`init ${args.join(' ')}: is refused, and nothing is written`, async () => {
    using folder = new Folder()
    const { code, out } = await init(...args, '--output', folder.at('k.yaml'))
    assert.equal(code, 78)
    assert.match(out, message)
    assert.deepEqual(folder.names(), [])
  })
}

test('init: the file is new, private and checked; another one is replaced only by --force', async () => {
  using folder = new Folder()
  const file = folder.at('k.yaml')
  const { code, err } = await init('--file', '/e.jsonl', '--output', file)
  assert.equal(code, 0)
  assert.ok(err.includes(`ktrail check --probe ${file}`), err)
  assert.equal(statSync(file).mode & 0o777, 0o600)
  const schema = /^# yaml-language-server: \$schema=(.*)\n/.exec(readFileSync(file, 'utf8'))?.[1] ?? ''
  assert.deepEqual(JSON.parse(readFileSync(schema, 'utf8')), withSharedParts(configJsonSchema()))
  assert.deepEqual((await checkFile(file, {})).problems, [])
  writeFileSync(file, 'mine')
  await assert.rejects(
    init('--file', '/e.jsonl', '--output', file),
    /k\.yaml" already exists: .* --force to replace it$/,
  )
  assert.equal(readFileSync(file, 'utf8'), 'mine')
  assert.equal((await init('--file', '/e.jsonl', '--output', file, '--force')).code, 0)
  assert.deepEqual(folder.names(), ['k.yaml'])
  await assert.rejects(init('--file', '/e.jsonl', '--output', folder.at('no/k.yaml')), /cannot write ".*no\/k\.yaml": /)
  await assert.rejects(init('--topic', 'x'), /--topic requires --kafka$/)
})

/** Types each answer when its question is there; prints the text of the terminal and the exit code. */
const TYPIST = `
import os, pty, re, sys
answers, command = sys.argv[1].split('|'), sys.argv[2:]
pid, fd = pty.fork()
if pid == 0: os.execv(command[0], command)
shown = ''
while True:
    try: part = os.read(fd, 4096)
    except OSError: break
    if not part: break
    shown += part.decode()
    if answers and re.search(r'none\\]: (\\x1b\\[\\d+G)?$', shown):
        os.write(fd, b'\\x04' if answers[0] == 'EOF' else answers[0].encode() + b'\\n')
        answers.pop(0)
        shown += '\\n'
print(shown, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`
const LAUNCHER = join(import.meta.dirname, '../../../../ktrail')

function typed(answers: readonly string[], ...args: string[]): string {
  const command = ['-c', TYPIST, answers.join('|'), LAUNCHER, 'init', ...args]
  return execFileSync('python3', command, { encoding: 'utf8', timeout: 30_000 })
}

const withoutPython = spawnSync('python3', ['--version']).status === 0 ? false : 'needs python3, for its terminals'

test('init: asks on a terminal, and again after a wrong answer', { skip: withoutPython }, () => {
  using folder = new Folder()
  const file = folder.at('k.yaml')
  const shown = typed(
    [
      'yes',
      '/nowhere',
      'library:pic',
      'library:pci',
      'y',
      'http://127.0.0.1:9',
      folder.at('e.jsonl'),
      'http://127.0.0.1:9',
      'team-a',
      'hush',
      folder.at('token'),
      '-',
      'k',
      '127.0.0.1:9',
      '',
      folder.at('ca.pem'),
      'ktrail',
      '-',
      '/p',
      folder.at('spool'),
    ],
    '--output',
    file,
  )
  assert.match(shown, /^Bundles of ready-made policies: .*default, .*pci/m)
  assert.match(shown, /policies\[0\]: expected a policy file/)
  assert.match(shown, /policies\[0\]: the library has no policy or bundle "pic"/)
  for (const answer of ['yes', 'y', 'http://127.0.0.1:9', 'hush'])
    assert.ok(
      shown.includes(`expected a path such as /var/log/ktrail/events.jsonl, or - for none, got "${answer}"`),
      answer,
    )
  assert.match(shown, /brokers\[0\]: expected host:port/)
  assert.match(shown, /exporters\.bus\.sasl: expected either password or password_file/)
  // It ends with the probe; there are no sinks, and no file with a token.
  assert.match(shown, /k\.yaml is written; its sinks:/)
  assert.match(shown, /cannot read "\S+\/token": no such file/)
  assert.match(shown, /next, until all are ok:\s+ktrail check --probe \S+k\.yaml\s+then:\s+sudo ktrail run [^]* 0\n$/)
  const { policies, exporters } = configIn(readFileSync(file, 'utf8'))
  assert.deepEqual(policies, ['library:pci'])
  const spool = { dir: folder.at('spool') }
  assert.partialDeepStrictEqual(exporters, {
    archive: { path: folder.at('e.jsonl') },
    loki: {
      endpoint: 'http://127.0.0.1:9/otlp',
      tenant: 'team-a',
      header_files: { authorization: folder.at('token') },
      spool,
    },
    bus: {
      brokers: ['127.0.0.1:9'],
      topic: 'ktrail.events',
      tls: { ca_file: folder.at('ca.pem') },
      sasl: { mechanism: 'scram-sha-512', username: 'ktrail', password_file: '/p' },
      spool,
    },
  })
  assert.match(typed(['', 'EOF'], '--output', folder.at('other.yaml')), /the input ended; no config was written\s+1\n$/)
  assert.deepEqual(folder.names(), ['k.yaml'])
})

test(
  'init: an address with https leads to its authority; the probe of a good config names the next step',
  {
    skip: withoutPython,
  },
  () => {
    using folder = new Folder()
    const file = folder.at('k.yaml')
    const answers = ['-', folder.at('e.jsonl'), '-', '-', '-']
    const shown = typed(answers, '--output', file)
    assert.match(
      shown,
      /\nok +archive +\S+e\.jsonl: can be created, [^]*next: sudo ktrail run --config \S+k\.yaml\s+0\n$/,
    )
    assert.doesNotMatch(shown, /Tenant|authority|Authorization|keeps events/)
    const secure = ['-', '-', '-', 'https://localhost:9', '-', '/ca.pem', '-', '-']
    typed(secure, '--output', folder.at('tls.yaml'))
    const { collector } = configIn(readFileSync(folder.at('tls.yaml'), 'utf8')).exporters
    assert.partialDeepStrictEqual(collector, { endpoint: 'https://localhost:9', tls: { ca_file: '/ca.pem' } })
  },
)

test('init: - means none, for policies, too', { skip: withoutPython }, async () => {
  using folder = new Folder()
  const file = folder.at('k.yaml')
  assert.match(typed(['-', '-', '-', '-', '-'], '--output', file), / 0\n$/)
  const { out } = await init('--policies', '-', '--file', '-', '--output', '-')
  for (const text of [readFileSync(file, 'utf8'), out]) {
    const { policies, exporters } = configIn(text)
    assert.deepEqual([policies, Object.keys(exporters)], [[], ['screen']])
  }
})
