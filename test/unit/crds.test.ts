import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import * as z from 'zod'
import { parse, parseAllDocuments } from 'yaml'
import { withSharedParts } from '../../config/agent/json-schema.ts'
import { definitions, editorSchema, policySchema } from '../../deploy/crds/write-crds.ts'
import type { Schema } from '../../deploy/crds/schema.ts'
import { LOADING, WAITING, policyOf, textOf } from '../support/policies/shipped.ts'
import { typed } from './collector/cli/support/terminal.ts'
import { PAGES, blocks, files, read } from './support/pages.ts'

/** Names that Kubernetes accepts: a subdomain of RFC 1123. */
const SUBDOMAIN = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/

interface Definition {
  readonly spec: {
    readonly group: string
    readonly scope: string
    readonly names: { readonly kind: string }
    readonly versions: readonly [
      {
        readonly name: string
        readonly schema: { readonly openAPIV3Schema: { readonly properties: { readonly spec: Schema } } }
      },
    ]
  }
}

interface PolicyObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly annotations: Readonly<Record<string, string>> }
  readonly spec: unknown
}

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

test('crds: the definitions accept all policies of the library, as kubectl gets them from ktrail policy show', async () => {
  const [{ spec: definition }]: [Definition] = [parse(read('deploy/crds/tracingpolicies.ktrail.dev.yaml'))]
  const [version] = definition.versions
  assert.deepEqual([definition.scope, version.name], ['Cluster', 'v1alpha1'])
  const { spec } = version.schema.openAPIV3Schema.properties
  // Without the keys that its rules refuse, and without unknown keys, which the API server drops.
  const schema = z.fromJSONSchema(editorSchema(spec), { defaultTarget: 'openapi-3.0' })
  const library = files(['config/policies/library/*.yaml']).map((file) => path.basename(file, '.yaml'))
  assert.ok(library.length >= 47)
  const bundles = library.flatMap((name) => {
    const { metadata }: PolicyObject = parse(read(`config/policies/library/${name}.yaml`))
    return metadata.annotations['ktrail.dev/bundles']?.split(', ') ?? []
  })
  for (const name of [...library, ...new Set(bundles)]) {
    const { stdout } = await typed(['policy', 'show', `library:${name}`, '-o', 'yaml'])
    const documents = parseAllDocuments(stdout)
    assert.equal(documents.length, library.includes(name) ? 1 : bundles.filter((bundle) => bundle === name).length)
    const names = documents.map((document) => {
      assert.deepEqual([document.errors, document.warnings], [[], []], name)
      const { apiVersion, kind, metadata, spec: own }: PolicyObject = document.toJS()
      assert.deepEqual([apiVersion, kind], [`${definition.group}/v1alpha1`, definition.names.kind])
      assert.equal(schema.safeParse(own).error?.message, undefined, metadata.name)
      assert.match(metadata.name, SUBDOMAIN)
      assert.deepEqual(Object.keys(metadata), ['name', 'annotations'])
      for (const [key, value] of Object.entries(metadata.annotations)) {
        assert.match(key, /^ktrail\.(dev|one-of)\/[a-z-]+$/)
        assert.equal(typeof value, 'string', `${metadata.name}: ${key}`)
      }
      return metadata.name
    })
    assert.equal(new Set(names).size, names.length)
  }
  const damaged = parse(read('config/policies/library/ssh-keys.yaml').replace('operator: UnderDir', 'operator: Under'))
  assert.equal(schema.safeParse(damaged.spec).success, false)
})
