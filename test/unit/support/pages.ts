/** The pages of the repository, and their content. */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT: string = fileURLToPath(new URL('../../../', import.meta.url))

/** Files of the repository, from its root. Built, fetched and recorded ones are none. */
export function files(patterns: string[]): string[] {
  const exclude = ['node_modules/**', 'build/**', '*/build/**', 'run/**', 'test/golden/**', 'test/fixtures/**']
  return globSync(patterns, { cwd: ROOT, exclude }).toSorted()
}

export const PAGES: readonly string[] = files(['*.md', '**/*.md'])

export const read = (page: string): string => readFileSync(join(ROOT, page), 'utf8')

/** Fenced blocks of one language; '' for those of none. */
export function blocks(text: string, language: string): string[] {
  return [...text.matchAll(/^```(.*)\n([^]*?)^```$/gm)]
    .filter(([, name]) => name === language)
    .map(([, , block = '']) => block)
}

export const withoutBlocks = (text: string): string => text.replaceAll(/^```.*?^```$/gms, '')

/** Inline code, outside of blocks. `\|` in a table is a `|`. */
export function inlineCode(text: string): string[] {
  return [...withoutBlocks(text).matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code.replaceAll('\\|', '|'))
}
