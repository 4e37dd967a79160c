import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { loadConfig } from '../../../config/load.ts'

test('README: every config in it loads without a problem', () => {
  const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8')
  const texts = [...readme.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, text = '']) => text)
  assert.ok(texts.length > 0)
  for (const text of texts) {
    const loaded = loadConfig(text, 'README.md', {}, () => '')
    assert.ok('config' in loaded, JSON.stringify(loaded))
  }
})
