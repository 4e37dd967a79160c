/** Every command has a help text that fits a terminal, and reports wrong usage in one message. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { UsageError } from '../../../../collector/cli/command.ts'
import type { Terminal } from '../../../../collector/cli/command.ts'
import { ktrail } from '../../../../collector/cli/ktrail.ts'
import { allSpecs, isGroup } from '../../../../collector/cli/table/spec.ts'
import { KTRAIL } from '../../../../collector/cli/table/table.ts'

interface Answer {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

async function typed(line: string, columns?: number): Promise<Answer> {
  let [stdout, stderr] = ['', '']
  const terminal: Terminal = {
    env: {},
    columns,
    print: (text) => {
      stdout += text.toString()
      return Promise.resolve(true)
    },
    printError: (text) => void (stderr += `${text}\n`),
    nowMs: () => 0,
  }
  const code = await ktrail(line === '' ? [] : line.split(' '), terminal)
  return { code, stdout, stderr }
}

const SPECS = [...allSpecs(KTRAIL)].map(([path, spec]) => ({ command: path.slice('ktrail '.length), spec }))
const COMMANDS = SPECS.map(({ command }) => command)

describe('help', () => {
  for (const { command, spec } of SPECS) {
    it(`ktrail ${command}: fits a terminal of 79 by 24, and is the same for each way to request it`, async () => {
      const { code, stdout, stderr } = await typed(`${command} --help`.trim())
      assert.deepEqual([code, stderr], [0, ''])
      assert.match(stdout, new RegExp(`^ktrail ?${command}[: \n]`))
      const lines = stdout.trimEnd().split('\n')
      assert.ok(lines.length <= 24, `${lines.length} lines`)
      for (const line of lines) assert.ok(line.length <= 79, `${line.length} columns: ${line}`)
      for (const other of [`help ${command}`, `${command} -h`, ...(isGroup(spec) ? [`${command} help`] : [])]) {
        assert.deepEqual(await typed(other.trim()), { code, stdout, stderr }, other)
      }
    })
  }

  for (const { command } of SPECS) {
    it(`ktrail ${command}: has only words that are longer than a terminal of 40 columns`, async () => {
      const [{ stdout }, wide] = [await typed(`${command} --help`.trim(), 40), await typed(`${command} --help`.trim())]
      // Examples are commands to copy.
      const [text = ''] = stdout.split('\n\nExamples:')
      for (const line of text.split('\n'))
        assert.ok(line.length <= 40 || !line.trim().includes(' '), `${line.length} columns: ${line}`)
      const words = (whole: string): string =>
        whole
          .replace(/\n\nExamples:[^]*/, '')
          .replaceAll(/[\s…]+/g, ' ')
          .trim()
      assert.equal(words(stdout), words(wide.stdout))
    })
  }

  it('-o has one list of formats for each kind of output', () => {
    const lists = new Map<string, string[]>()
    for (const { command, spec } of SPECS) {
      const choices = isGroup(spec) ? undefined : spec.options?.['format']?.choices?.join(' ')
      if (choices !== undefined) lists.set(choices, [...(lists.get(choices) ?? []), command])
    }
    assert.deepEqual(Object.fromEntries(lists), {
      'text wide json yaml': ['status', 'policy list', 'spool ls'],
      'text json yaml': ['policy estimate', 'policy library', 'audit'],
      'json yaml': ['policy show'],
      'text json github': ['check'],
      'list tree json': ['trace'],
      'json compact': ['watch', 'events'],
      json: ['spool replay'],
    })
  })

  it('lists every command in its group', async () => {
    for (const command of COMMANDS.slice(1)) {
      const above = command.split(' ').slice(0, -1).join(' ')
      assert.match((await typed(`${above} --help`.trim())).stdout, new RegExp(`^  ktrail ${command} `, 'm'))
    }
  })

  for (const { command, spec } of SPECS) {
    if (isGroup(spec)) continue
    it(`ktrail ${command}: its usage and examples have only options of the table`, () => {
      const { usage = [], examples = [], options = {} } = spec
      for (const line of examples) assert.ok(line.startsWith(`ktrail ${command}`), line)
      for (const [option] of [...usage, ...examples].join(' ').matchAll(/--[a-z-]+/g))
        assert.ok(Object.hasOwn(options, option.slice(2)), option)
      for (const [, short] of [...usage, ...examples].join(' ').matchAll(/(?<=[ [])-([a-z])\b/g))
        assert.ok(
          Object.values(options).some((each) => each.short === short),
          `-${short}`,
        )
    })
  }

  it('is printed, as wrong usage, without arguments', async () => {
    for (const { command } of SPECS.filter(({ spec }) => isGroup(spec))) {
      const { code, stdout, stderr } = await typed(command)
      assert.deepEqual([code, stdout], [2, ''])
      assert.equal(stderr, (await typed(`${command} help`.trim())).stdout)
    }
  })

  it('is printed even if the other arguments are wrong', async () => {
    assert.equal((await typed('run --nothing --help')).code, 0)
  })
})

const WRONG: ReadonlyArray<readonly [line: string, message: RegExp, see: string]> = [
  ['chek', /^no such command: "chek" \(did you mean "check"\?\)$/, 'ktrail help'],
  ['tracingpolicy', /^no such command: "tracingpolicy" \(did you mean "policy"\?\)$/, 'ktrail help'],
  ['get policies', /^no such command: "get"; write ktrail policy list$/, 'ktrail help'],
  ['constructor', /^no such command: "constructor"$/, 'ktrail help'],
  ['--hlep', /^no such command: "--hlep"/, 'ktrail help'],
  [
    'events x --server y',
    /^expected either files or an agent \(--server, --reconnect\), got both$/,
    'ktrail events --help',
  ],
  [
    'events --tail 5',
    /^--since and --tail apply only to files, because an agent sends no past events: /,
    'ktrail events --help',
  ],
  [
    'events --since 5m',
    /^--since and --tail apply only to files, because an agent sends no past events: /,
    'ktrail events --help',
  ],
  ['events --tail 0 x', /^--tail: expected a number of events from 1 to 99999, got "0"$/, 'ktrail events --help'],
  [
    'events --since soon x',
    /^--since: expected a time such as .* or an age such as 90m, got "soon"$/,
    'ktrail events --help',
  ],
  [
    'events -n 10',
    /^-n: expected a Kubernetes namespace, because -n is --namespace, got "10"; for the last events of a file, use --tail 10$/,
    'ktrail events --help',
  ],
  [
    'policy list -n 10',
    /^-n: expected a Kubernetes namespace, because -n is --namespace, got "10"$/,
    'ktrail policy list --help',
  ],
  ['top --interval 1ms', /^--interval: expected a duration from 1s to 1h, got "1ms"$/, 'ktrail top --help'],
  ['events -o yaml', /^-o: expected json or compact, got "yaml"$/, 'ktrail events --help'],
  ['events --color x', /^--color: expected auto, always or never, got "x"$/, 'ktrail events --help'],
  ['events -e exce', /^--event-type: no such type: "exce" \(did you mean "exec"\?\)$/, 'ktrail events --help'],
  ['events --host -n a', /^expected either --host or --namespace, got both$/, 'ktrail events --help'],
  ['events --server here', /^--server: expected an address such as .*, got "here"$/, 'ktrail events --help'],
  ['help nothing', /^no such command: "nothing"$/, 'ktrail help'],
  ['help spool lss', /^no such command: "spool lss" \(did you mean "ls"\?\)$/, 'ktrail spool help'],
  ['config show', /^no such command: "config show"$/, 'ktrail config help'],
  [
    'config print x.yaml',
    /^config print takes no file, got "x.yaml": use --config FILE$/,
    'ktrail config print --help',
  ],
  [
    'config print --efective',
    /^no such option: --efective \(did you mean "--effective"\?\)$/,
    'ktrail config print --help',
  ],
  ['config print --effective=yes', /^--effective: takes no value, got "yes"$/, 'ktrail config print --help'],
  ['check', /^check requires at least one file or folder, --kernel or --probe$/, 'ktrail check --help'],
  [
    'check --quiet x',
    /^no such option: --quiet; expected --format, --strict, --kernel, --probe, --config$/,
    'ktrail check --help',
  ],
  ['check --kernel x.yaml', /^check --kernel takes no file, got "x.yaml": use --config FILE$/, 'ktrail check --help'],
  ['check --config x.yaml', /^check --config requires --kernel or --probe/, 'ktrail check --help'],
  ['check --kernel -o json', /^-o json applies only to files$/, 'ktrail check --help'],
  ['check -o sarif x', /^-o: expected text, json or github, got "sarif"$/, 'ktrail check --help'],
  ['check --kernel --probe', /^expected either --kernel or --probe, got both$/, 'ktrail check --help'],
  ['check --probe a b', /^check --probe takes one config, also got "b"$/, 'ktrail check --help'],
  ['init x.yaml', /^init takes no file, got "x.yaml": use --output PATH$/, 'ktrail init --help'],
  [
    'run --export-filename /x',
    /^no such option: --export-filename; in the config, write exporters: \{archive: /,
    'ktrail run --help',
  ],
  [
    'run --tracing-policy-dir=/x',
    /^no such option: --tracing-policy-dir; in the config, write policies$/,
    'ktrail run --help',
  ],
  ['run x.yaml', /^run takes no file, got "x.yaml": use --config FILE$/, 'ktrail run --help'],
  ['run --config', /^--config: expected a value after it$/, 'ktrail run --help'],
  ['run --config --verbose', /^--config: expected a value after it$/, 'ktrail run --help'],
  ['run --verbose', /^no such option: --verbose; expected --config, --takeover$/, 'ktrail run --help'],
  ['spool ls -x', /^no such option: -x; expected --config, --format$/, 'ktrail spool ls --help'],
  ['audit -o table x', /^-o: expected text, json or yaml, got "table"$/, 'ktrail audit --help'],
  ['completion csh', /^completion: expected one of bash, zsh, fish, got "csh"$/, 'ktrail completion --help'],
  ['version junk', /^version takes no arguments, got "junk"$/, 'ktrail version --help'],
  ['--version --foo', /^no such option: --foo; it takes no options$/, 'ktrail version --help'],
]

describe('wrong usage', () => {
  for (const [line, message, see] of WRONG) {
    it(`is reported in one message that names the help: ${line}`, async () => {
      await assert.rejects(typed(line), (error) => {
        assert.ok(error instanceof UsageError, String(error))
        assert.match(error.message, message)
        assert.equal(error.see ?? 'ktrail help', see)
        return true
      })
    })
  }
})
