/**
 * An in-toto statement with SLSA v1 provenance of all files in FOLDER, on standard output. Without times: the same build has the same bytes.
 *
 *   node deploy/release/provenance.ts FOLDER < MATERIALS
 *
 * A line of MATERIALS is a package of Debian that went into an artefact, as deploy/setup/sbom.ts takes it, or `tool NAME VERSION`.
 * BUILDER=URI names the machine that builds, for instance the URI of a workflow.
 */
import { execFileSync } from 'node:child_process'
import { hash } from 'node:crypto'
import { readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'

const ROOT = path.join(import.meta.dirname, '../..')
const [folder = ''] = process.argv.slice(2)
const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { version: string }
const lines = readFileSync(0, 'utf8').split('\n').filter(Boolean)

const sha256 = (file: string): { sha256: string } => ({ sha256: hash('sha256', readFileSync(file)) })

interface Material {
  readonly uri?: string
  readonly name?: string
  readonly digest?: Readonly<Record<string, string>>
}

const debian = new Map<string, Material>()
const tools: Record<string, string> = {}
for (const line of lines) {
  const [name = '', of = '', arch = '', source = '', hashed = ''] = line.split(' ')
  if (name === 'tool') {
    tools[of] = arch
  } else if (source !== '-') {
    const uri = `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(of)}?arch=${arch}`
    const known = hashed.startsWith('sha256:') ? { digest: { sha256: hashed.slice('sha256:'.length) } } : {}
    debian.set(uri, { ...debian.get(uri), uri, ...known })
  }
}

/** Node, as the lock of deploy/setup/node.sh has it. */
function nodes(): Material[] {
  const text = readFileSync(path.join(ROOT, 'deploy/setup/node.sh'), 'utf8')
  const found = [...text.matchAll(/package='(.+)'\n\s+integrity='sha512-(.+)'/g)]
  const release = /^VERSION=(.+)$/m.exec(text)?.[1]
  return found.map(([, name, sum = '']) => ({
    uri: `pkg:npm/${name}@${release}`,
    digest: { sha512: Buffer.from(sum, 'base64').toString('hex') },
  }))
}

const commit = execFileSync('git', ['rev-parse', 'HEAD'], { cwd: ROOT, encoding: 'utf8' }).trim()
const files = readdirSync(folder).toSorted()
console.log(
  JSON.stringify(
    {
      _type: 'https://in-toto.io/Statement/v1',
      subject: files.map((name) => ({ name, digest: sha256(path.join(folder, name)) })),
      predicateType: 'https://slsa.dev/provenance/v1',
      predicate: {
        buildDefinition: {
          buildType: 'https://example.org/ktrail/make-release/v1',
          externalParameters: { version },
          resolvedDependencies: [
            { name: 'ktrail', digest: { gitCommit: commit } },
            { name: 'package-lock.json', digest: sha256(path.join(ROOT, 'package-lock.json')) },
            ...nodes(),
            ...[...debian.values()].toSorted((one, other) => ((one.uri ?? '') < (other.uri ?? '') ? -1 : 1)),
          ],
        },
        runDetails: {
          builder: { id: process.env['BUILDER'] ?? 'https://example.org/ktrail/a-maintainers-machine', version: tools },
        },
      },
    },
    undefined,
    1,
  ),
)
