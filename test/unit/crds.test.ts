import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import * as z from 'zod'
import { parse } from 'yaml'
import { withSharedParts } from '../../config/agent/json-schema.ts'
import { definitions, policySchema } from '../../deploy/crds/write-crds.ts'
import { LOADING, WAITING, policyOf, textOf } from '../support/policies/shipped.ts'
import { PAGES, blocks, files, read } from './support/pages.ts'

test('crds: the committed files match the policy language (else: node deploy/crds/write-crds.ts)', () => {
  for (const { file, text } of definitions()) {
    assert.equal(readFileSync(new URL(`../../deploy/crds/${file}`, import.meta.url), 'utf8'), text, file)
  }
})

test('policy schema: equals config/policy-schema.json (else: node deploy/crds/write-crds.ts, npm run format)', () => {
  assert.deepEqual(JSON.parse(read('config/policy-schema.json')), withSharedParts(policySchema()))
})

test('policy schema: an editor marks no policy that loads, and every unsupported key and unknown name', () => {
  const schema = z.fromJSONSchema(JSON.parse(read('config/policy-schema.json')))
  const accepts = (text: string): boolean => schema.safeParse(parse(text)).success
  const good = [
    ...files(['config/policies/**/*.yaml']).map(read),
    ...PAGES.flatMap((page) => blocks(read(page), 'yaml policy')),
    ...LOADING.map((row) => textOf(policyOf(row))),
  ]
  assert.ok(good.length > 70)
  for (const text of good) assert.ok(accepts(text), `${text}\n${schema.safeParse(parse(text)).error?.message}`)
  const keys = ['uprobes', 'usdts', 'loader']
  const refused = WAITING.map((row) => textOf(policyOf(row))).filter((text) => keys.some((key) => text.includes(key)))
  assert.ok(refused.length >= 8)
  for (const text of refused) assert.ok(!accepts(text), text)
  const policy = read('config/policies/optional/file-monitoring.yaml')
  for (const [from, to] of [
    ['call:', 'cal:'],
    ['operator: "Prefix"', 'operator: "Prefxi"'],
    ['type: "file"', 'type: "fiel"'],
    ['apiVersion: cilium.io/v1alpha1', 'apiVersion: cilium.io/v1'],
    ['kind: TracingPolicy', 'kind: Policy'],
    ['syscall: false', 'syscall: nein'],
  ] as const) {
    assert.notEqual(policy.replace(from, to), policy)
    assert.ok(!accepts(policy.replace(from, to)), to)
  }
})
