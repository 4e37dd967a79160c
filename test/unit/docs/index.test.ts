/** docs/README.md is the index: a reader gets from README.md to every page in two clicks. */
import assert from 'node:assert/strict'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { PAGES, read, withoutBlocks } from '../support/pages.ts'

const INDEX = 'docs/README.md'

/** Pages that a text of the folder links to. */
const linked = (text: string, folder: string): Set<string> =>
  new Set([...withoutBlocks(text).matchAll(/\]\(([^)\s#]+\.md)/g)].map(([, link = '']) => join(folder, link)))

test('docs index: README.md links to it, and it links to every page under the heading of its folder', () => {
  assert.ok(linked(read('README.md'), '.').has(INDEX))
  const sections = read(INDEX).split(/^## /m).slice(1)
  const headings = sections.map((text) => /^.*/.exec(text)?.[0])
  assert.deepEqual(headings, ['Start', 'How-to', 'Reference', 'Explanation'])
  for (const section of sections) {
    const folder = /^.*/.exec(section)?.[0]?.toLowerCase()
    const pages = PAGES.filter((page) => page.startsWith(`docs/${folder}/`))
    assert.ok(pages.length >= 3)
    assert.deepEqual([...linked(section, dirname(INDEX))].toSorted(), pages, `${INDEX}, ${folder}`)
  }
})
