import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { definitions } from '../../deploy/crds/write-crds.ts'

test('crds: the committed files match the policy language (else: node deploy/crds/write-crds.ts)', () => {
  for (const { file, text } of definitions()) {
    assert.equal(readFileSync(new URL(`../../deploy/crds/${file}`, import.meta.url), 'utf8'), text, file)
  }
})
