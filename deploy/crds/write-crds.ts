/** `node deploy/crds/write-crds.ts` writes the custom resource definitions beside it, and config/policy-schema.json for editors; run `npm run format` after it. */
import { writeFileSync } from 'node:fs'
import { stringify } from 'yaml'
import { withSharedParts } from '../../config/agent/json-schema.ts'
import { isMapping } from '../../config/base/parsed.ts'
import { OWN_API_VERSION } from '../../config/policy/selectors/identity.ts'
import { API_VERSION } from '../../config/policy/parse.ts'
import { NOT_SUPPORTED, specOf } from './schema.ts'
import type { Schema } from './schema.ts'

const KINDS = [
  {
    plural: 'tracingpolicies',
    kind: 'TracingPolicy',
    scope: 'Cluster',
    description: 'A policy of ktrail for all nodes.',
  },
  {
    plural: 'tracingpoliciesnamespaced',
    kind: 'TracingPolicyNamespaced',
    scope: 'Namespaced',
    description: 'A policy of ktrail for the pods of one namespace.',
  },
] as const

/** With `ours`, policies may use ktrail's additions to Tetragon's language. */
const GROUPS = [
  { group: 'cilium.io', ours: false },
  { group: OWN_API_VERSION.slice(0, OWN_API_VERSION.indexOf('/')), ours: true },
] as const

const plain = (what: string): object => ({ type: 'string', description: what })

function definitionOf(
  { plural, kind, scope, description }: (typeof KINDS)[number],
  group: string,
  spec: Schema,
): object {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}`, labels: { 'app.kubernetes.io/name': 'ktrail' } },
    spec: {
      group,
      scope,
      names: { plural, singular: kind.toLowerCase(), kind, listKind: `${kind}List` },
      versions: [
        {
          name: 'v1alpha1',
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              description,
              properties: {
                apiVersion: plain(`${group}/v1alpha1.`),
                kind: plain(`${kind}.`),
                metadata: { type: 'object' },
                spec,
              },
              required: ['metadata', 'spec'],
            },
          },
        },
      ],
    },
  }
}

/** File names and contents. */
export function definitions(): ReadonlyArray<{ readonly file: string; readonly text: string }> {
  return GROUPS.flatMap(({ group, ours }) => {
    const spec = specOf(ours)
    return KINDS.map((kind) => ({
      file: `${kind.plural}.${group}.yaml`,
      text: `# Written by deploy/crds/write-crds.ts from the tables of config/policy.\n${stringify(
        definitionOf(kind, group, spec),
        { lineWidth: 0, aliasDuplicateObjects: false },
      )}`,
    }))
  })
}

const oneOf = (description: string, values: readonly string[]): object => ({ description, enum: values })
const texts = (description: string): object => ({
  type: 'object',
  description,
  additionalProperties: { type: 'string' },
})

/** A schema of Kubernetes as JSON Schema for editors: without its words, and without the keys that ktrail refuses. Others are marked as unknown. */
export function editorSchema(schema: Schema): Schema {
  const own = Object.entries(schema).filter(([key]) => !key.startsWith('x-kubernetes-'))
  const { properties, ...rest } = Object.fromEntries(own)
  const made = Object.fromEntries(
    Object.entries(rest).map(([key, value]) => [
      key,
      (key === 'items' || key === 'additionalProperties') && isMapping(value) ? editorSchema(value) : value,
    ]),
  )
  if (!isMapping(properties)) return made
  const known = Object.entries(properties).flatMap(([key, value]) =>
    isMapping(value) && value['description'] !== NOT_SUPPORTED ? [[key, editorSchema(value)] as const] : [],
  )
  return { ...made, properties: Object.fromEntries(known), additionalProperties: false }
}

/** JSON Schema (2020-12) of the policy files, for editors. */
export function policySchema(): Schema {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    description: 'A policy of ktrail.',
    required: ['apiVersion', 'kind', 'metadata', 'spec'],
    additionalProperties: false,
    properties: {
      apiVersion: oneOf("Tetragon's language, or that with ktrail's additions.", [API_VERSION, OWN_API_VERSION]),
      kind: oneOf(
        'For all nodes, or for the pods of one namespace.',
        KINDS.map(({ kind }) => kind),
      ),
      metadata: {
        type: 'object',
        description: 'Name of the policy.',
        required: ['name'],
        additionalProperties: false,
        properties: {
          name: { type: 'string', description: 'Name of the policy, in records and commands.' },
          namespace: { type: 'string', description: 'Namespace of the pods, of a TracingPolicyNamespaced.' },
          labels: texts('Labels.'),
          annotations: texts('Annotations.'),
        },
      },
      spec: editorSchema(specOf(true)),
    },
  }
}

if (import.meta.main) {
  const schema = new URL('../../config/policy-schema.json', import.meta.url)
  writeFileSync(schema, `${JSON.stringify(withSharedParts(policySchema()), undefined, 2)}\n`)
  for (const { file, text } of definitions()) writeFileSync(new URL(file, import.meta.url), text)
}
