/** The command line: answers, user errors, exit codes. Needs no kernel of its own and no root. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, closeSync, existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))
const launcher = join(root, 'ktrail')
const folder = mkdtempSync(join(process.env['KTRAIL_TMP'] ?? tmpdir(), 'ktrail-cli-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const DEADLINE_MS = 60_000

interface Answer {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs `ktrail` in the checkout; code null if it had to be killed. `stdout` is a path to write to instead. */
function ktrail(args: readonly string[], env: Readonly<Record<string, string>> = {}, stdout?: string): Promise<Answer> {
  const out = stdout === undefined ? 'pipe' : openSync(stdout, 'w')
  const child = spawn(launcher, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', out, 'pipe'],
    timeout: DEADLINE_MS,
    killSignal: 'SIGKILL',
  })
  if (typeof out === 'number') closeSync(out)
  const texts = { stdout: '', stderr: '' }
  child.stdout?.on('data', (bytes: Buffer) => (texts.stdout += bytes.toString()))
  child.stderr?.on('data', (bytes: Buffer) => (texts.stderr += bytes.toString()))
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, ...texts })))
}

function file(name: string, text: string | Buffer): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

const good = 'config/policies/optional/file-monitoring.yaml'
const config = file('good.yaml', 'exporters: {screen: {type: stdout}}\n')
const empty = file('empty.yaml', '')
const tabs = file('tabs.yaml', 'apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n\tname: x\n')
const documents = file('documents.yaml', 'exporters: {screen: {type: stdout}}\n---\nexporters: {}\n')
const garbage = file(
  'garbage.yaml',
  Buffer.from(Array.from({ length: 1 << 20 }, (_, i) => (i * 7919 + (i >> 9)) & 0xff)),
)
const brackets = file('brackets.yaml', '['.repeat(1 << 20))
const huge = file('huge.yaml', 'a: 1\n'.repeat(300_000))
const missing = join(folder, 'none.yaml')
const emptyFolder = mkdtempSync(join(folder, 'empty-'))
const spooled = file('spooled.yaml', `exporters: {bus: {type: stdout, spool: {dir: "${folder}/spool"}}}\n`)
const unknownKey = file('key.yaml', 'exporters: {screen: {type: stdout}}\nrings: {}\n')

interface Row {
  readonly args: readonly string[]
  readonly code: number
  readonly stdout?: RegExp
  readonly stderr?: RegExp
}

const NOTHING = /^$/

const rows: readonly Row[] = [
  {
    args: ['version'],
    code: 0,
    stdout: /^ktrail \d+\.\d+\.\d+, node v\d+\.\d+\.\d+, libbpf v\d+\.\d+, kernel \S+\n$/,
    stderr: NOTHING,
  },
  { args: ['--version'], code: 0, stdout: /^ktrail \d/ },
  { args: ['-V'], code: 0, stdout: /^ktrail \d/ },
  { args: ['status', '--json'], code: 2, stderr: /no such option: --json; expected --format,/ },
  { args: ['policy', 'list', '--json'], code: 2, stderr: /no such option: --json; expected --format,/ },
  {
    args: ['help'],
    code: 0,
    stdout: /^ktrail: run [^]* ktrail run .*\n[^]*Exit codes: 0 done, 1 failed, 2 wrong usage, 78/,
  },
  { args: ['-h'], code: 0, stdout: /ktrail check / },
  { args: ['run', '--help'], code: 0, stdout: /^ktrail run \[--config FILE\] \[--takeover\]\n/, stderr: NOTHING },
  {
    args: ['check', good, config],
    code: 0,
    stdout: NOTHING,
    stderr: /^2 files checked, no mistakes\n$/,
  },
  { args: ['config', 'print', '--config', config], code: 0, stdout: /^exporters:\n {2}screen:\n {4}type: stdout\n/ },
  { args: ['config', 'print', '--effective', '--config', config], code: 0, stdout: /max_events: 100000 # default/ },

  { args: ['spool', '--help'], code: 0, stdout: /^ktrail spool: [^]* ktrail spool replay /, stderr: NOTHING },
  { args: ['spool', 'ls', '--config', config], code: 0, stdout: NOTHING, stderr: /^no exporter of .* has a spool\n$/ },
  {
    args: ['spool', 'ls', '--config', spooled],
    code: 0,
    stdout: /^SPOOL .*\nbus +0 +0 B +0 {2}- +-\n/,
    stderr: NOTHING,
  },
  { args: ['spool', 'verify', '--config', spooled], code: 0, stdout: /^bus: nothing was spooled yet\n$/ },

  { args: ['spool'], code: 2, stdout: NOTHING, stderr: /^ktrail spool: .*\n[^]*\n {2}ktrail spool ls / },
  { args: ['spool', 'lists'], code: 2, stderr: /no such command: "spool lists"/ },
  { args: ['spool', 'repair'], code: 2, stderr: /expected: ktrail spool repair NAME\|DIR/ },
  {
    args: ['spool', 'replay', 'buss', '--config', spooled],
    code: 2,
    stderr: /no exporter "buss" .*did you mean "bus"/,
  },
  {
    args: ['spool', 'ls', '/dev/null/'],
    code: 1,
    stdout: NOTHING,
    stderr: /^ktrail: cannot read the spool "\/dev\/null": it is not a folder\n$/,
  },
  {
    args: ['spool', 'ls', '--config', missing],
    code: 78,
    stdout: NOTHING,
    stderr: /none\.yaml: cannot read the file/,
  },

  { args: [], code: 2, stdout: NOTHING, stderr: /^ktrail: run .*\n\n {2}ktrail run .*\n[^]*\nExit codes: / },
  { args: [''], code: 2, stderr: /no such command: ""/ },
  { args: ['chek', good], code: 2, stderr: /no such command: "chek" \(did you mean "check"\?\)\nSee: ktrail help/ },
  { args: ['constructor'], code: 2, stderr: /no such command: "constructor"\n/ },
  {
    args: ['events', '--server', `unix://${folder}/none.sock`],
    code: 1,
    stdout: NOTHING,
    stderr: /^ktrail: no agent listens on unix:\/\/.*none\.sock: start it with ktrail run/,
  },
  { args: ['check'], code: 2, stderr: /check requires at least one file/ },
  { args: ['check', '--quiet', good], code: 2, stderr: /no such option: --quiet/ },
  { args: ['config'], code: 2, stdout: NOTHING, stderr: /ktrail config print/ },
  { args: ['config', 'show'], code: 2, stderr: /no such command: "config show"\nSee: ktrail config help\n/ },
  { args: ['run', config], code: 2, stderr: /run takes no file, got ".*good.yaml": use --config FILE/ },
  { args: ['run', '--config'], code: 2, stderr: /--config: expected a value after it\nSee: ktrail run --help\n/ },
  { args: ['run', '--conf', config], code: 2, stderr: /no such option: --conf \(did you mean "--config"\?\)/ },

  {
    args: ['check', missing],
    code: 78,
    stdout: /none\.yaml: cannot read the file: no such file\n$/,
    stderr: /1 of 1 file with mistakes/,
  },
  {
    args: ['check', folder],
    code: 78,
    stdout: /\/documents\.yaml:2:1: [^]*\/empty\.yaml:1:1: /,
    stderr: /^\d+ of \d+ files with mistakes\n$/,
  },
  { args: ['check', emptyFolder], code: 78, stdout: /: the folder has no \*\.yaml or \*\.yml file/ },
  {
    args: ['check', good, empty, config],
    code: 78,
    stdout: /^\S*empty\.yaml:1:1: .* is empty: expected [^]*$/m,
    stderr: /1 of 3 files/,
  },
  { args: ['check', tabs], code: 78, stdout: /^\S*tabs\.yaml:4:1: .*tab/i },
  { args: ['check', documents], code: 78, stdout: /^\S*documents\.yaml:2:1: .*document/ },
  {
    args: ['check', garbage],
    code: 78,
    stdout: /^\S*garbage\.yaml:1:\d+: byte 0x[0-9A-F]{2} at offset \d+ is not UTF-8/,
  },
  { args: ['check', brackets], code: 78, stdout: /^\S*brackets\.yaml:1:\d+: / },
  { args: ['check', huge], code: 78, stdout: /it is larger than 1048576 bytes\n$/ },
  { args: ['check', '/dev/zero'], code: 78, stdout: /it is a device; expected a regular file/ },
  { args: ['check', '/dev/null'], code: 78, stdout: /it is a device; expected a regular file/ },
  { args: ['check', unknownKey], code: 78, stdout: /^\S*key\.yaml:2:1: .*"rings" \(did you mean "ring"\?\)/ },
  { args: ['config', 'print', '--config', unknownKey], code: 78, stdout: NOTHING, stderr: /key\.yaml:2:1: / },
  {
    args: ['run', '--config', missing],
    code: 78,
    stdout: NOTHING,
    stderr: /none\.yaml: cannot read the file: no such file/,
  },
  { args: ['run', '--config', empty], code: 78, stdout: NOTHING, stderr: /empty\.yaml:1:1: config file is empty/ },
  { args: ['run', '--config', tabs], code: 78, stdout: NOTHING, stderr: /tabs\.yaml:\d+:\d+: / },
]

/** Without the comments that name the source of a value. */
const values = (text: string): string => text.replaceAll(/ *#.*$/gm, '')

describe('command line', () => {
  for (const { args, code, stdout, stderr } of rows) {
    it(`ktrail ${args.map((arg) => arg.replace(`${folder}/`, '')).join(' ')}: ${code}`, async () => {
      const answer = await ktrail(args)
      assert.equal(answer.code, code, JSON.stringify(answer).slice(0, 2000))
      if (stdout !== undefined) assert.match(answer.stdout, stdout)
      if (stderr !== undefined) assert.match(answer.stderr, stderr)
      assert.ok(answer.stdout.length + answer.stderr.length < 20_000, 'an answer fits on a few screens')
      assert.doesNotMatch(answer.stderr, /^\s+at .*\.ts:\d+/m, 'no stack is shown for a mistake of the user')
    })
  }

  it('config print prints a config that reads back as the same', async () => {
    const printed = await ktrail(['config', 'print', '--effective', '--config', config])
    const again = await ktrail(['config', 'print', '--effective', '--config', file('again.yaml', printed.stdout)])
    assert.equal(values(again.stdout), values(printed.stdout))
  })

  it('output that cannot be written is a failure', async (t) => {
    if (!existsSync('/dev/full')) return t.skip('there is no /dev/full here')
    const rowsOf = [['version'], ['help'], ['config', 'print', '--config', config]]
    for (const args of rowsOf) {
      const { code, stderr } = await ktrail(args, {}, '/dev/full')
      assert.equal(code, 1, args.join(' '))
      assert.match(stderr, /cannot write to standard output: .*ENOSPC/)
    }
    const { code } = await ktrail(['check', missing], {}, '/dev/full')
    assert.ok(code === 1 || code === 78, String(code))
  })

  it('a closed pipe ends the output without a stack trace', async () => {
    const child = spawn(
      'bash',
      ['-c', `"$0" check "$1" | head -c 1 >/dev/null; echo "\${PIPESTATUS[0]}"`, launcher, missing],
      {
        cwd: root,
        timeout: DEADLINE_MS,
      },
    )
    let [out, err] = ['', '']
    child.stdout.on('data', (bytes: Buffer) => (out += bytes.toString()))
    child.stderr.on('data', (bytes: Buffer) => (err += bytes.toString()))
    await new Promise((resolve) => child.on('close', resolve))
    assert.match(out, /^78\n$/)
    assert.doesNotMatch(err, /^\s+at /m)
  })

  it('run on a kernel that cannot attach kprobes: exit code 1 and the next step, after the warnings about the config', async (t) => {
    if (process.getuid?.() !== 0) return t.skip('needs root: without it the missing right is reported first')
    if (existsSync('/sys/bus/event_source/devices/kprobe/type')) return t.skip('this kernel can attach kprobes')
    const open = file('open', 'hush')
    chmodSync(open, 0o644)
    const withSecret = file('secret.yaml', `exporters: {o: {type: otlp, header_files: {authorization: ${open}}}}\n`)
    const { code, stderr } = await ktrail(['run', '--config', withSecret])
    assert.equal(code, 1, stderr)
    assert.match(stderr, /^ktrail: this kernel (?:cannot attach kprobes|has no type information): expected \S/m)
    assert.match(stderr, /header_files\.authorization: .*every user of this host can read it \(mode 0644\): chmod/)
  })

  it('an environment reference that is not set is reported with its position', async () => {
    const path = file('reference.yaml', 'node_name: ${env:KTRAIL_TEST_UNSET:?set it}\nexporters: {s: {type: stdout}}\n')
    assert.match((await ktrail(['check', path])).stdout, /reference\.yaml:1:\d+: .*KTRAIL_TEST_UNSET.*set it/)
    assert.equal((await ktrail(['check', path], { KTRAIL_TEST_UNSET: 'x' })).code, 0)
  })
})
