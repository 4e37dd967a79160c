/**
 * The parts of a build or of an artefact, as CycloneDX 1.5 on standard output. They are the agent's npm packages, from package-lock.json, and
 * parts that npm does not list: Node, and libraries of Debian. Not `npm sbom`, which Debian's npm lacks. Without time and serial number: the
 * same build has the same bytes.
 *
 *   node deploy/setup/sbom.ts                                                          the build of this checkout, on this machine
 *   node deploy/setup/sbom.ts [--artefact FILE --purl PURL] [--npm x64|arm64|all]… [--parts FILE]…
 *
 * A line of FILE is a part: package, version, architecture, source package (`-`: not of Debian), and the hashed file or `sha256:SUM`.
 */
import { execFileSync } from 'node:child_process'
import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'

interface Hash {
  readonly alg: 'SHA-256' | 'SHA-512'
  readonly content: string
}

interface Component {
  readonly type: 'library' | 'application' | 'platform' | 'file'
  readonly name: string
  readonly version: string
  readonly purl: string
  readonly licenses?: ReadonlyArray<{ readonly expression: string }> | undefined
  readonly hashes?: readonly Hash[] | undefined
}

interface Locked {
  readonly version: string
  readonly name?: string
  readonly license?: string
  readonly integrity?: string
  readonly dev?: boolean
  readonly os?: readonly string[]
  readonly cpu?: readonly string[]
  readonly libc?: readonly string[]
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

/** Packages that npm installs on Debian of these processors. */
function npmComponents(cpus: readonly string[]): Component[] {
  const fits = ({ os = ['linux'], cpu = cpus, libc = ['glibc'] }: Locked): boolean =>
    cpus.includes('all') || (os.includes('linux') && libc.includes('glibc') && cpus.some((one) => cpu.includes(one)))
  return Object.entries(lock.packages).flatMap(([place, locked]): Component[] => {
    const { name, version, license, integrity, dev } = locked
    if (place === '' || dev === true || !fits(locked)) return []
    const known = name ?? place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length)
    const sum = /^sha512-(.+)$/.exec(integrity ?? '')?.[1]
    return [
      {
        type: 'library',
        name: known,
        version,
        purl: `pkg:npm/${known.replace('@', '%40')}@${version}`,
        licenses: license === undefined ? undefined : [{ expression: license }],
        hashes:
          sum === undefined ? undefined : [{ alg: 'SHA-512', content: Buffer.from(sum, 'base64').toString('hex') }],
      },
    ]
  })
}

const sha256 = (content: string): Hash => ({ alg: 'SHA-256', content })
const sumOf = (file: string): Hash => sha256(hash('sha256', readFileSync(file)))

/** A part by its line. */
function component(line: string): Component {
  const [name = '', version = '', arch = '', source = '', ...rest] = line.split(' ')
  const hashed = rest.join(' ')
  const known = hashed.startsWith('sha256:') ? sha256(hashed.slice('sha256:'.length)) : undefined
  const hashes = hashed === '' ? undefined : [known ?? sumOf(hashed)]
  const of = arch === '' ? '' : `?arch=${arch}`
  if (source === '-') return { type: 'platform', name, version, purl: `pkg:generic/${name}@${version}${of}`, hashes }
  const purl = `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}${of}&upstream=${encodeURIComponent(source)}`
  return { type: 'library', name, version, purl, hashes }
}

/** Lines of the installed libraries. On other systems than Debian the addon is linked to others, which are unknown here. */
function installed(): string {
  const format = '${Package} ${Version} ${Architecture} ${source:Package}\n'
  try {
    return execFileSync('dpkg-query', ['-W', '-f', format, ...LIBRARIES], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
  } catch (error) {
    // dpkg-query fails if a package is missing, but prints the others.
    return error instanceof Error && 'stdout' in error ? String(error.stdout) : ''
  }
}

const { values } = parseArgs({
  options: {
    artefact: { type: 'string' },
    purl: { type: 'string' },
    npm: { type: 'string', multiple: true },
    parts: { type: 'string', multiple: true },
  },
})
const whole = Object.keys(values).length === 0
const lists = whole
  ? [`node ${process.versions.node}  -`, installed()]
  : (values.parts ?? []).map((file) => readFileSync(file, 'utf8'))
const cpus = whole ? ['all'] : (values.npm ?? [])
const found = [
  ...(cpus.length === 0 ? [] : npmComponents(cpus)),
  ...lists.join('\n').split('\n').filter(Boolean).map(component),
]
// npm installs the same package in several places, and an image may have a library twice.
const components = [...new Map(found.map((each) => [each.purl, each])).values()]
const { name, version, license } = ours
const { artefact, purl = `pkg:npm/${name}@${version}` } = values
const subject: Component = {
  type: artefact === undefined ? 'application' : 'file',
  name: artefact === undefined ? name : path.basename(artefact),
  version,
  purl,
  licenses: [{ expression: license }],
  hashes: artefact === undefined ? undefined : [sumOf(artefact)],
}
console.log(
  JSON.stringify(
    {
      $schema: 'http://cyclonedx.org/schema/bom-1.5.schema.json',
      bomFormat: 'CycloneDX',
      specVersion: '1.5',
      version: 1,
      metadata: { component: subject },
      components: components.map((each) => ({ 'bom-ref': each.purl, ...each })),
    },
    undefined,
    1,
  ),
)
