/** The contents of the pages work: links lead somewhere, configs load, policies parse, files and metrics that they name exist. */
import assert from 'node:assert/strict'
import { existsSync, globSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { loadConfig } from '../../../config/agent/load.ts'
import { parsePolicy } from '../../../config/policy/parse.ts'
import { KEYS } from '../../../exporters/encoding/otlp/attributes.ts'
import { PAGES, ROOT, blocks, files, inlineCode, read, withoutBlocks } from '../support/pages.ts'

/** GitHub's anchor of a heading. */
const anchors = (text: string): string[] =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )

const exists = (path: string): boolean => existsSync(join(ROOT, path))

describe('README and docs/', () => {
  it('README has at most 10 kB', () => {
    assert.ok(PAGES.length > 10)
    assert.ok(Buffer.byteLength(read('README.md')) <= 10_240)
  })

  for (const page of PAGES) {
    it(`${page}: every link leads to a file and a heading of this repository`, () => {
      for (const [, link = ''] of withoutBlocks(read(page)).matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^https?:/.test(link)) continue
        const [path = '', anchor] = link.split('#')
        const target = path === '' ? page : join(dirname(page), path)
        assert.ok(exists(target), `${page} links to ${link}: no such file`)
        if (anchor === undefined) continue
        assert.ok(anchors(read(target)).includes(anchor), `${page} links to ${link}: no such heading`)
      }
    })
  }

  it('every picture exists', () => {
    const found = PAGES.flatMap((page) =>
      [...read(page).matchAll(/\b(?:src|srcset)="([^"]+)"/g)].map(([, file = '']) => join(dirname(page), file)),
    )
    assert.ok(found.length >= 2)
    for (const file of found) assert.ok(exists(file), `no picture ${file}`)
  })

  it('every block is of a kind that some test reads', () => {
    const kinds = /^(?:sh\b.*|yaml(?: policy| drop-in| values| collector)?|logql|js|ini|text|)$/
    for (const page of PAGES) {
      for (const [, kind = ''] of read(page).matchAll(/^```(.*)\n[^]*?^```$/gm)) assert.match(kind, kinds, page)
    }
  })

  it('every config loads without a problem', () => {
    const configs = PAGES.flatMap((page) => blocks(read(page), 'yaml').map((text) => ({ page, text })))
    assert.ok(configs.length >= 2)
    for (const { page, text } of configs) {
      const loaded = loadConfig(text, page, {}, () => '')
      assert.ok('config' in loaded, JSON.stringify(loaded))
    }
  })

  it('every drop-in file loads with the first config of its page', () => {
    for (const page of PAGES) {
      const [base = ''] = blocks(read(page), 'yaml')
      for (const text of blocks(read(page), 'yaml drop-in')) {
        const loaded = loadConfig(base, page, {}, () => '', [{ file: 'drop-in.yaml', text }])
        assert.ok('config' in loaded, JSON.stringify(loaded))
      }
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

  it('every file of the repository that a page names exists', () => {
    const named = PAGES.flatMap((page) => inlineCode(read(page)).map((path) => ({ page, path })))
      // NAME stands for any.
      .filter(({ path }) => /^(?:bpf|collector|config|deploy|docs|exporters|native|test)\/[\w./*{},-]+$/.test(path))
      .filter(({ path }) => !/\bNAME\b|\/build\//.test(path))
    assert.ok(named.length > 20)
    for (const { page, path } of named) {
      assert.ok(globSync(path, { cwd: ROOT }).length > 0, `${page} names ${path}: no such file`)
    }
  })

  it('every metric that a page names is in docs/reference/metrics.md, or is an attribute as Loki spells it', () => {
    const metrics = read('docs/reference/metrics.md').match(/\bktrail_\w+/g) ?? []
    const attributes = Object.values(KEYS).map(({ name }) => name.replaceAll('.', '_'))
    // And a section of the BPF objects.
    const known = new Set([...metrics, ...attributes, 'ktrail_version'])
    for (const page of PAGES) {
      for (const name of read(page).match(/\bktrail_[a-z]\w+/g) ?? [])
        assert.ok(known.has(name), `${page} names ${name}: it is neither in docs/reference/metrics.md nor an attribute`)
    }
  })

  it('no file cites a page that is not in the repository', () => {
    const names = new Set(PAGES.map((page) => page.split('/').at(-1)))
    const citing = [...PAGES, 'Makefile', ...files(['**/*.{ts,js,c,h,cc,sh,awk,yaml}'])]
    assert.ok(citing.length > 300)
    for (const file of citing) {
      const text = read(file).replaceAll(/https?:\/\/\S+|\\n/g, ' ')
      for (const [cited] of text.matchAll(/(?:\.{1,2}\/)*[\w-][\w./-]*\.md\b/g)) {
        if (cited.endsWith('NAME.md')) continue
        const isThere =
          exists(cited) || exists(join(dirname(file), cited)) || (!cited.includes('/') && names.has(cited))
        assert.ok(isThere, `${file} cites ${cited}: expected a page of this repository`)
      }
    }
  })
})

describe('docs/how-to/troubleshooting.md', () => {
  it('quotes texts of the code', () => {
    const source = files(['{collector,config,exporters,native}/**/*.{ts,cc,h}'])
      .map(read)
      .join('\n')
      // A text that continues in the next line of the source.
      .replaceAll(/['"`] \+\n\s*['"`]/g, '')
    const rows = [...read('docs/how-to/troubleshooting.md').matchAll(/^\| ([^|]*`[^|]*) \|/gm)]
    assert.ok(rows.length > 10)
    for (const [, first = ''] of rows) {
      for (const quote of inlineCode(first)) {
        // … is a placeholder.
        for (const part of quote.split('…').map((text) => text.trim()))
          assert.ok(part.length < 3 || source.includes(part), `expected "${part}" in the code`)
      }
    }
  })
})
