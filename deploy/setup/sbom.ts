/**
 * The parts of this build, as CycloneDX 1.5 on standard output. They are the agent's npm packages, from package-lock.json, and parts that
 * npm does not list: Node, and the libraries of Debian that the addon is linked to. Not `npm sbom`, which Debian's npm lacks.
 * Without time and serial number: the same build has the same bytes.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

interface Component {
  readonly type: 'library' | 'application' | 'platform'
  readonly name: string
  readonly version: string
  readonly purl: string
  readonly licenses?: ReadonlyArray<{ readonly expression: string }>
  readonly hashes?: ReadonlyArray<{ readonly alg: 'SHA-512'; readonly content: string }>
}

interface Locked {
  readonly version: string
  readonly name?: string
  readonly license?: string
  readonly integrity?: string
  readonly dev?: boolean
}

/** Runtime libraries: of the addon (native/binding.gyp), of Node, and the allocator of the launcher. */
const LIBRARIES = [
  'libbpf1',
  'libelf1',
  'zlib1g',
  'libisal2',
  'libzstd1',
  'libjemalloc2',
  'libc6',
  'libstdc++6',
  'libgcc-s1',
]

const at = (name: string): URL => new URL(`../../${name}`, import.meta.url)
const ours = JSON.parse(readFileSync(at('package.json'), 'utf8')) as { name: string; version: string; license: string }
const lock = JSON.parse(readFileSync(at('package-lock.json'), 'utf8')) as { packages: Record<string, Locked> }

function npmComponents(): Component[] {
  const all = Object.entries(lock.packages).flatMap(
    ([path, { name, version, license, integrity, dev }]): Component[] => {
      if (path === '' || dev === true) return []
      const known = name ?? path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
      const sum = /^sha512-(.+)$/.exec(integrity ?? '')?.[1]
      return [
        {
          type: 'library',
          name: known,
          version,
          purl: `pkg:npm/${known.replace('@', '%40')}@${version}`,
          ...(license === undefined ? {} : { licenses: [{ expression: license }] }),
          ...(sum === undefined
            ? {}
            : { hashes: [{ alg: 'SHA-512', content: Buffer.from(sum, 'base64').toString('hex') }] }),
        },
      ]
    },
  )
  // npm installs the same package in several places.
  return [...new Map(all.map((component) => [component.purl, component])).values()]
}

/** The installed libraries. On other systems than Debian the addon is linked to others, which are unknown here. */
function debianComponents(): Component[] {
  const format = '${Package} ${Version} ${Architecture} ${source:Package}\n'
  let found: string
  try {
    const output = execFileSync('dpkg-query', ['-W', '-f', format, ...LIBRARIES], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    found = output.toString()
  } catch (error) {
    // dpkg-query fails if a package is missing, but prints the others.
    found = error instanceof Error && 'stdout' in error ? String(error.stdout) : ''
  }
  return found.split('\n').flatMap((line): Component[] => {
    const [name, version, architecture, source] = line.split(' ')
    if (name === undefined || version === undefined || version === '') return []
    const purl = `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${architecture}&upstream=${source}`
    return [{ type: 'library', name, version, purl }]
  })
}

const node: Component = {
  type: 'platform',
  name: 'node',
  version: process.versions.node,
  purl: `pkg:generic/node@${process.versions.node}`,
}
const components = [...npmComponents(), node, ...debianComponents()]
const { name, version, license } = ours
console.log(
  JSON.stringify(
    {
      $schema: 'http://cyclonedx.org/schema/bom-1.5.schema.json',
      bomFormat: 'CycloneDX',
      specVersion: '1.5',
      version: 1,
      metadata: {
        component: {
          type: 'application',
          name,
          version,
          purl: `pkg:npm/${name}@${version}`,
          licenses: [{ expression: license }],
        },
      },
      components: components.map((component) => ({ 'bom-ref': component.purl, ...component })),
    },
    undefined,
    1,
  ),
)
