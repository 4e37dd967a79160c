/** One shape of all commands: an option of one name has one meaning, letter and kind of value. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { OptionSpec } from '../../../../collector/cli/table/options.ts'
import { allSpecs, findSpec, isGroup } from '../../../../collector/cli/table/spec.ts'
import type { CommandSpec } from '../../../../collector/cli/table/spec.ts'
import { KTRAIL } from '../../../../collector/cli/table/table.ts'
import { typed } from './support/terminal.ts'

const COMMANDS = [...allSpecs(KTRAIL)].filter((row): row is [string, CommandSpec] => !isGroup(row[1]))
const OPTIONS = COMMANDS.flatMap(([path, { options = {} }]) =>
  Object.entries(options).map(([name, spec]) => ({ path, name, spec })),
)
/** The summary without defaults, and without a note about the command. */
const summaryOf = ({ about }: OptionSpec): string => about.split(/ \(|[;:.](?: |$)/)[0] ?? ''

const shapeOf = (spec: OptionSpec): object => ({
  summary: summaryOf(spec),
  short: spec.short,
  value: spec.choices === undefined ? spec.value : 'a choice',
})

test('shape: an option has the same summary, letter and kind of value in all commands', () => {
  const byName = Object.groupBy(OPTIONS, ({ name }) => name)
  assert.ok(Object.values(byName).filter((uses = []) => uses.length > 1).length >= 15)
  for (const [name, uses = []] of Object.entries(byName)) {
    const [first, ...others] = uses
    assert.ok(first)
    for (const { path, spec } of others)
      assert.deepEqual(shapeOf(spec), shapeOf(first.spec), `--${name} of ${path} and of ${first.path}`)
  }
})

test('shape: a letter stands for one option', () => {
  const letters = Object.groupBy(
    OPTIONS.filter(({ spec }) => spec.short !== undefined),
    ({ spec }) => spec.short ?? '',
  )
  assert.deepEqual(
    Object.entries(letters).map(([letter, uses = []]) => [letter, ...new Set(uses.map(({ name }) => name))]),
    [
      ['o', 'format'],
      ['e', 'event-type'],
      ['n', 'namespace'],
    ],
  )
})

test('shape: a format is -o and --format, and --output is a place to write to', async () => {
  for (const [path, { options = {} }] of COMMANDS) {
    const words = path.split(' ').slice(1)
    const { format, output } = options
    assert.deepEqual([format?.short, output?.short], [format && 'o', undefined], path)
    assert.ok(format === undefined || output === undefined, path)
    if (format !== undefined) {
      assert.ok(format.choices?.includes('json'), path)
      await assert.rejects(typed([...words, '--output', 'json']), {
        message: 'no such option: --output: use -o FORMAT or --format FORMAT; --output is for files',
      })
    }
    if (output !== undefined)
      await assert.rejects(typed([...words, '--format', 'json']), {
        message: /^no such option: --format: use --output PATH$/,
      })
  }
})

test('shape: --http and --server name each other where only one of them is an option', async () => {
  for (const [path, { options = {} }] of COMMANDS) {
    const words = path.split(' ').slice(1)
    const [http, server] = ['http' in options, 'server' in options]
    if (http && !server)
      await assert.rejects(typed([...words, '--server', 'a:1']), {
        message: /--server: use --http ADDRESS: this command reads/,
      })
    if (server && !http)
      await assert.rejects(typed([...words, '--http', 'a:1']), {
        message: /--http: use --server ADDRESS: this command uses/,
      })
    // Certificates belong to the API, a token to the pages.
    for (const file of ['ca-file', 'cert-file', 'key-file'])
      assert.equal(file in options, server && path !== 'ktrail oci-hook', `${path} --${file}`)
    assert.equal('token-file' in options, http, path)
  }
})

test('shape: each usage line names only options of its command', () => {
  for (const [path, { usage = [], options = {} }] of COMMANDS) {
    const named = usage.flatMap((line) => line.match(/--[a-z][a-z-]*/g) ?? [])
    for (const name of named) assert.ok(Object.hasOwn(options, name.slice(2)), `${path}: ${name}`)
    for (const [, name = '', value = ''] of usage.join(' ').matchAll(/--([a-z-]+) ([A-Z]+)/g))
      assert.equal(options[name]?.value, value, `${path} --${name}`)
  }
})

test('shape: list and ls are the same command in each group', async () => {
  const lists = [...allSpecs(KTRAIL)].filter(([path]) => / (?:list|ls)$/.test(path))
  assert.deepEqual(
    lists.map(([path]) => path),
    ['ktrail policy list', 'ktrail spool ls'],
  )
  for (const [path, spec] of lists) {
    const other = path.replace(/\w+$/, (word) => (word === 'ls' ? 'list' : 'ls'))
    const words = other.split(' ').slice(1)
    assert.deepEqual(findSpec(KTRAIL, words), { spec, used: words.length })
    const { code, stdout } = await typed([...words, '--help'])
    assert.deepEqual([code, stdout.includes('[-o text|wide|json|yaml]')], [0, true])
  }
})
