/** `node deploy/crds/write-crds.ts` writes the custom resource definitions beside it anew, and their part of deploy/kubernetes/ktrail.yaml. */
import { readFileSync, writeFileSync } from 'node:fs'
import { stringify } from 'yaml'
import { SPEC } from './schema.ts'

interface Kind {
  readonly plural: string
  readonly kind: string
  readonly scope: 'Cluster' | 'Namespaced'
  readonly description: string
}

const KINDS: readonly Kind[] = [
  {
    plural: 'tracingpolicies',
    kind: 'TracingPolicy',
    scope: 'Cluster',
    description: 'What ktrail reports on every node.',
  },
  {
    plural: 'tracingpoliciesnamespaced',
    kind: 'TracingPolicyNamespaced',
    scope: 'Namespaced',
    description: 'What ktrail reports of the pods of one namespace.',
  },
]

const plain = (what: string): object => ({ type: 'string', description: what })

function definitionOf({ plural, kind, scope, description }: Kind): object {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.cilium.io`, labels: { 'app.kubernetes.io/name': 'ktrail' } },
    spec: {
      group: 'cilium.io',
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
                apiVersion: plain('cilium.io/v1alpha1.'),
                kind: plain(`${kind}.`),
                metadata: { type: 'object' },
                spec: SPEC,
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
  return KINDS.map((kind) => ({
    file: `${kind.plural}.cilium.io.yaml`,
    text: `# Written by deploy/crds/write-crds.ts from the tables of config/policy.\n${stringify(definitionOf(kind), {
      lineWidth: 0,
      aliasDuplicateObjects: false,
    })}`,
  }))
}

const MANIFEST = new URL('../kubernetes/ktrail.yaml', import.meta.url)
const BETWEEN_MARKS = /(?<=^# crds:begin\n).*(?=^# crds:end$)/ms

/** A manifest with other definitions between its marks. */
export function manifestWith(manifest: string, texts: readonly string[]): string {
  return manifest.replace(BETWEEN_MARKS, () => texts.join('---\n'))
}

if (import.meta.main) {
  const written = definitions()
  for (const { file, text } of written) writeFileSync(new URL(file, import.meta.url), text)
  const texts = written.map(({ text }) => text)
  writeFileSync(MANIFEST, manifestWith(readFileSync(MANIFEST, 'utf8'), texts))
}
