/** Commands in the pages exist: subcommands and options of ktrail, targets of make, scripts of npm, files that are run. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { Terminal } from '../../collector/cli/command.ts'
import { ktrail } from '../../collector/cli/ktrail.ts'
import { PAGES, ROOT, blocks, inlineCode, read } from './support/pages.ts'

/** The help of a command; rejects for an unknown one. */
async function help(words: readonly string[]): Promise<string> {
  let text = ''
  const terminal: Terminal = {
    env: {},
    print: (part) => {
      text += String(part)
      return Promise.resolve(true)
    },
    printError: () => {},
    nowMs: () => 0,
  }
  await ktrail([...words, '--help'], terminal)
  return text
}

/** Lines of `sh` blocks without comments, and inline code. */
function commands(page: string): string[] {
  const text = read(page)
  const lines = blocks(text, 'sh').flatMap((block) => block.replaceAll('\\\n', ' ').split('\n'))
  return [...lines, ...inlineCode(text)]
    .map((line) => line.replace(/\s+#.*$|^#.*$/, '').trim())
    .map((line) => line.replace(/^(?:sudo |\$ |[A-Z_]+=\S* )+/, ''))
    .filter((line) => line !== '')
}

const ALL = PAGES.flatMap((page) => commands(page).map((command) => ({ page, command })))
const TARGETS = new Set([...read('Makefile').matchAll(/^([a-z-]+):/gm)].map(([, name]) => name))
const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> }

describe('commands of the pages', () => {
  it('ktrail: every command and option exists', async () => {
    const found = ALL.filter(({ command }) => /^(?:\.\/)?ktrail [a-z]/.test(command))
    assert.ok(found.length >= 10)
    for (const { page, command } of found) {
      const [, ...words] = command.replaceAll(/[[\]]/g, '').split(/\s+/)
      const end = words.findIndex((word) => !/^[a-z]+$/.test(word))
      const path = end < 0 ? words : words.slice(0, end)
      // `ktrail help COMMAND`: the rest is one.
      const text = await help(path[0] === 'help' ? path.slice(1) : path).catch((error: unknown) =>
        assert.fail(`${page} shows "${command}": ${String(error)}`),
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
