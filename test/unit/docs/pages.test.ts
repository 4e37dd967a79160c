/** What README and the pages of docs/ show works: links lead somewhere, configs load, policies parse. */
import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { loadConfig } from '../../config/agent/load.ts'
import { parsePolicy } from '../../config/policy/parse.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const PAGES = globSync(['*.md', 'docs/**/*.md'], { cwd: ROOT }).toSorted()
const read = (page: string): string => readFileSync(join(ROOT, page), 'utf8')
const blocks = (text: string, language: string): string[] =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(([, block = '']) => block)

/** GitHub's anchor of a heading. */
const anchors = (text: string): string[] =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )

describe('README and docs/', () => {
  it('README has at most 10 kB', () => {
    assert.ok(PAGES.length > 10)
    assert.ok(Buffer.byteLength(read('README.md')) <= 10_240)
  })

  for (const page of PAGES) {
    it(`${page}: every link leads to a file and a heading of this repository`, () => {
      const text = read(page).replaceAll(/^```.*?^```$/gms, '')
      for (const [, link = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^https?:/.test(link)) continue
        const [path = '', anchor] = link.split('#')
        const target = path === '' ? page : join(dirname(page), path)
        assert.ok(existsSync(join(ROOT, target)), `${page} links to ${link}: no such file`)
        if (anchor === undefined) continue
        assert.ok(anchors(read(target)).includes(anchor), `${page} links to ${link}: no such heading`)
      }
    })
  }

  it('every config loads without a problem', () => {
    const configs = PAGES.flatMap((page) => blocks(read(page), 'yaml').map((text) => ({ page, text })))
    assert.ok(configs.length >= 2)
    for (const { page, text } of configs) {
      const loaded = loadConfig(text, page, {}, () => '')
      assert.ok('config' in loaded, JSON.stringify(loaded))
    }
  })

  it('every policy parses without a problem', () => {
    const policies = PAGES.flatMap((page) => blocks(read(page), 'yaml policy').map((text) => ({ page, text })))
    assert.ok(policies.length >= 1)
    for (const { page, text } of policies) {
      const parsed = parsePolicy(text, page)
      assert.deepEqual('policy' in parsed ? [] : parsed.problems, [])
    }
  })
})
