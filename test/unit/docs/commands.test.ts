/** Commands in the pages work, and other names in them exist. Commands for an agent: test/integration-host/agent/commands.test.ts. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { inspect, promisify } from 'node:util'
import { readArguments } from '../../../collector/cli/command.ts'
import { allSpecs, findSpec, isGroup } from '../../../collector/cli/table/spec.ts'
import { KTRAIL } from '../../../collector/cli/table/table.ts'
import { blockLines, inlineLines } from '../../support/docs/shell-lines.ts'
import type { ShellLine } from '../../support/docs/shell-lines.ts'
import { typed } from '../collector/cli/support/terminal.ts'
import { PAGES, ROOT, blocks, inlineCode, read } from '../support/pages.ts'

const BLOCK_LINES = blockLines()
const INLINE_LINES = inlineLines()
const withoutPrefix = (line: string): string => line.replace(/^(?:sudo |\$ |[A-Z_]+=\S* )+/, '')
/** Also placeholders, and names of commands alone. */
const ALL = PAGES.flatMap((page) => [
  ...BLOCK_LINES.filter((line) => line.page === page).map(({ text }) => ({ page, command: withoutPrefix(text) })),
  ...inlineCode(read(page)).map((code) => ({ page, command: withoutPrefix(code.replace(/\s+#.*$/, '').trim()) })),
])
const TARGETS = new Set([...read('Makefile').matchAll(/^([a-z-]+):/gm)].map(([, name]) => name))
const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> }

/** A folder with the first config and the policies of a page, and the files that samples name. */
function folderOf(page: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'ktrail-docs-'))
  const put = (name: string, text: string): void => writeFileSync(join(folder, name), text)
  const [config] = blocks(read(page), 'yaml')
  put(
    'ktrail.yaml',
    config ??
      `exporters: { archive: { type: file, path: ${folder}/x, spool: { dir: ${folder} } }, other: { type: file, path: ${folder}/y } }\n`,
  )
  const [sample = ''] = blocks(read('README.md'), 'yaml policy')
  put('sample.yaml', sample)
  for (const text of blocks(read(page), 'yaml policy')) put(`${/name: ([\w-]+)/.exec(text)?.[1]}.yaml`, text)
  const numbers = (number: number, phase: string): object => ({
    ktrail: { seq: `r-${number}`, exporter_seq: `archive-${number}`, run: { phase, heartbeat_ms: 60_000 } },
  })
  const records = ['start', 'stop'].map((phase, i) => ({
    node_name: 'n',
    time: '2026-11-24T14:00:00Z',
    ...numbers(i, phase),
  }))
  put('events.jsonl', records.map((record) => `${JSON.stringify(record)}\n`).join(''))
  put('tetragon.yaml', 'export-filename: /var/log/tetragon.log\n')
  put('audit.rules', '-w /etc/passwd -p wa -k identity\n')
  for (const name of ['ktrail', 'config']) symlinkSync(join(ROOT, name), join(folder, name))
  return folder
}

/** Runs the lines of a page in a shell, with the config of the folder. Each must have exit code 0. */
async function onHost(page: string, lines: readonly ShellLine[]): Promise<void> {
  const [folder, before] = [folderOf(page), process.cwd()]
  const env = { ...process.env, PATH: `${folder}:${process.env['PATH']}` }
  process.chdir(folder)
  try {
    for (const line of lines) {
      const { text } = line
      const failed = (why: unknown): never => assert.fail(`${page} shows "${text}": ${inspect(why)}`)
      if (BLOCK_LINES.includes(line)) {
        await promisify(execFile)('bash', ['-euc', text], { env, timeout: 60_000 }).catch(failed)
        continue
      }
      const words = text.split(' ').slice(1)
      const { spec } = findSpec(KTRAIL, words)
      // Without --probe and --kernel, check takes none.
      const config = isGroup(spec) || !('config' in (spec.options ?? {})) || /--config|check [^-]/.test(text)
      const written = await typed([...words, ...(config ? [] : ['--config', 'ktrail.yaml'])]).catch(failed)
      if (written.code !== 0) failed(written)
    }
  } finally {
    process.chdir(before)
    rmSync(folder, { recursive: true })
  }
}

describe('command lines of the pages', () => {
  const isHost = ({ run }: { run: string }): boolean => run === 'host'
  const pages = Map.groupBy([...BLOCK_LINES, ...INLINE_LINES].filter(isHost), ({ page }) => page)
  for (const [page, lines] of pages) {
    it(`${page}: ${lines.length} lines that need no kernel run`, () => onHost(page, lines))
  }

  it('each kind has some lines, and every page about the agent has lines', () => {
    for (const kind of ['host', 'agent', 'shown'] as const) {
      assert.ok(BLOCK_LINES.filter(({ run }) => run === kind).length >= 3, kind)
    }
    assert.ok(INLINE_LINES.filter(isHost).length >= 8)
    assert.ok(INLINE_LINES.filter(({ run }) => run === 'agent').length >= 8)
  })

  it('a line that no test runs names the closest tests, or the reason for none', () => {
    for (const { page, text, reason } of BLOCK_LINES.filter(({ run }) => run === 'shown')) {
      assert.ok(reason.length > 10, `${page}: "${text}" has no reason`)
      for (const [file] of reason.matchAll(/\btest\/[\w./-]+/g))
        assert.ok(existsSync(join(ROOT, file)), `${page}: no ${file}`)
    }
  })

  it('a block of commands without a place to run is refused', () => {
    const refused = /expected ```sh run=host, run=agent or shown=/
    for (const info of ['sh', 'sh run=', 'sh run=moon', 'sh shown=""', 'bash run=host', 'console', '']) {
      assert.throws(() => blockLines([['README.md', `\`\`\`${info}\nmake build\n\`\`\`\n`]]), refused, info)
    }
    assert.deepEqual(blockLines([['README.md', '```\n🚀 process x\n```\n']]), [])
    const [line] = blockLines([['README.md', '```sh run=host\n# about\nktrail a \\\n  b   # why\n```\n']])
    assert.deepEqual(line, { page: 'README.md', text: 'ktrail a    b', run: 'host', reason: '' })
  })

  it('examples of the help have the arguments of their commands', () => {
    let examples = 0
    for (const [, spec] of allSpecs(KTRAIL)) {
      for (const example of isGroup(spec) ? [] : (spec.examples ?? [])) {
        const [line = ''] = example.split(/ [<>|]/)
        const words = line.split(' ').slice(1)
        const { spec: found, used } = findSpec(KTRAIL, words)
        assert.equal(found, spec, example)
        if (!isGroup(found)) readArguments(words.slice(used), found.options ?? {})
        examples++
      }
    }
    assert.ok(examples >= 20)
  })
})

describe('docs/pictures/first-minutes.cast', () => {
  const [header = '', ...events] = read('docs/pictures/first-minutes.cast').trimEnd().split('\n')
  const shown = events.map((event) => JSON.parse(event) as [seconds: number, kind: string, text: string])

  it('is in the format of asciinema, for a terminal of 80 by 24', () => {
    const { version, width, height } = JSON.parse(header) as Record<string, number>
    assert.deepEqual([version, width, height], [2, 80, 24])
    assert.ok(shown.every(([seconds, kind], i) => kind === 'o' && seconds >= (shown[i - 1]?.[0] ?? 0)))
  })

  it('shows commands that exist, with their options', () => {
    const text = shown.map(([, , part]) => part).join('')
    const lines = Array.from(
      text.matchAll(/^(?:\$ )?(?:sudo )?(ktrail [a-z][^\r]*?)(?: &)?\r$/gm),
      ([, typedLine = '']) => typedLine,
    )
    const names = lines.map((line) => {
      const words = line.split(' ').slice(1)
      const { spec, used } = findSpec(KTRAIL, words)
      if (isGroup(spec)) assert.fail(`no such command: ${line}`)
      readArguments(words.slice(used), spec.options ?? {})
      return words.slice(0, used).join(' ')
    })
    assert.deepEqual(names.join(), 'watch,trace,policy library,init,check,run,policy add,events,status,policy estimate')
  })
})

describe('commands that the pages name', () => {
  it('ktrail: every command and option exists', async () => {
    const found = ALL.filter(({ command }) => /^(?:\.\/)?ktrail [a-z]/.test(command))
    assert.ok(found.length >= 10)
    for (const { page, command } of found) {
      const [, ...words] = command.replaceAll(/[[\]]/g, '').split(/\s+/)
      const end = words.findIndex((word) => !/^[a-z]+$/.test(word))
      const path = end < 0 ? words : words.slice(0, end)
      // `ktrail help COMMAND`: the rest is one.
      const { stdout: text } = await typed([...(path[0] === 'help' ? path.slice(1) : path), '--help']).catch(
        (error: unknown) => assert.fail(`${page} shows "${command}": ${String(error)}`),
      )
      for (const option of words.filter((word) => word.startsWith('--') && word !== '--help'))
        assert.ok(text.includes(option), `${page} shows "${command}": no option ${option}`)
    }
  })
  it('make: every target exists', () => {
    const found = ALL.flatMap(({ page, command }) => {
      const target = /^make ([a-z-]+)(?: [A-Z]+=.*)?$/.exec(command)?.[1]
      return target === undefined ? [] : [{ page, target }]
    })
    assert.ok(found.length >= 10)
    for (const { page, target } of found) assert.ok(TARGETS.has(target), `${page}: no target ${target} in the Makefile`)
  })

  it('npm run: every script exists', () => {
    for (const { page, command } of ALL) {
      const script = /^npm run (?:--silent )?([\w:]+)/.exec(command)?.[1]
      if (script === undefined) continue
      assert.ok(Object.hasOwn(scripts, script), `${page}: no script ${script} in package.json`)
    }
  })

  it('every file that is run exists', () => {
    const found = ALL.flatMap(({ page, command }) => {
      const file =
        /^(?:node (?:--\S+ )*)?((?:bpf|collector|config|deploy|exporters|native|test)\/[\w./-]+\.(?:ts|js|sh))(?: |$)/.exec(
          command,
        )?.[1]
      return file === undefined || /\bNAME\b/.test(file) ? [] : [{ page, file }]
    })
    assert.ok(found.length >= 3)
    for (const { page, file } of found) assert.ok(existsSync(join(ROOT, file)), `${page} runs ${file}: no such file`)
  })
})
