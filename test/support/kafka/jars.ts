/**
 * Apache Kafka as jars of Maven Central, fetched once into the cache: a broker without a container engine. The fetched jars must
 * have the checksums of jars.sha512 (`sha512sum *.jar`, rewritten when a version changes).
 * If something is missing, the reason is returned, so that a test can skip with it.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const CHECKSUMS = new URL('jars.sha512', import.meta.url)
export const KAFKA_VERSION = '4.1.0'

// kafka-tools holds ConsoleConsumer; slf4j-simple makes the broker log to stderr.
const PARTS = [
  ['org.apache.kafka', 'kafka_2.13', KAFKA_VERSION],
  ['org.apache.kafka', 'kafka-tools', KAFKA_VERSION],
  ['org.slf4j', 'slf4j-simple', '1.7.36'],
]

/** The folder of the jars, or why there are none. */
export type Jars = { readonly folder: string } | { readonly missing: string }

/** Classes that a broker has loaded, beside the jars: with them Java starts in half the processor time. */
export const loadedClasses = (jars: string): string => `${jars}.jsa`

/**
 * Options for `java` to run a program of Kafka. Java passes over a file of classes that is missing, or of another Java;
 * without `-Xlog:disable` it would print a warning among the records of a topic.
 */
export const forJava = (
  jars: string,
  megabytes: number,
  classes = `-XX:SharedArchiveFile=${loadedClasses(jars)}`,
): string[] => [
  `-Xmx${megabytes}m`,
  '-XX:TieredStopAtLevel=1',
  '-XX:+UseSerialGC',
  '-Xlog:disable',
  classes,
  '-cp',
  `${jars}/*`,
]

let found: Promise<Jars> | undefined

/** Fetches the jars once per cache (7 s, 50 MB). */
export function kafkaJars(): Promise<Jars> {
  found ??= fetchJars()
  return found
}

async function fetchJars(): Promise<Jars> {
  const cache = path.join(process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'), 'ktrail', 'kafka')
  const folder = path.join(cache, KAFKA_VERSION)
  if (!(await answers('java', '-version'))) return { missing: 'java is not installed' }
  if (existsSync(folder)) return { folder }
  if (!(await answers('mvn', '-v'))) return { missing: 'mvn, which fetches Apache Kafka, is not installed' }
  await mkdir(cache, { recursive: true })
  const work = await mkdtemp(path.join(cache, 'fetch-'))
  try {
    await writeFile(path.join(work, 'pom.xml'), pom())
    const jars = path.join(work, 'jars')
    await run('mvn', ['-q', '-B', 'dependency:copy-dependencies', `-DoutputDirectory=${jars}`], { cwd: work })
    const wrong = await wrongSum(jars, CHECKSUMS)
    if (wrong !== undefined)
      return { missing: `the jars of Apache Kafka ${KAFKA_VERSION} are not those of jars.sha512: ${wrong}` }
    // Another process may have been faster: its jars are the same.
    await rename(jars, folder).catch(() => undefined)
    return existsSync(folder) ? { folder } : { missing: `cannot write the jars to ${folder}` }
  } catch (error) {
    return { missing: `mvn cannot fetch Apache Kafka ${KAFKA_VERSION}: ${String(error).split('\n')[0]}` }
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/**
 * The first file of a folder whose SHA-512 differs from `checksums` (lines of sha512sum), is not listed there, or is missing;
 * undefined if all match.
 */
export async function wrongSum(folder: string, checksums: URL): Promise<string | undefined> {
  const lines = (await readFile(checksums, 'utf8')).trimEnd().split('\n')
  const sums = new Map(lines.map((line) => [line.slice(130), line.slice(0, 128)]))
  for (const name of await readdir(folder)) {
    const got = createHash('sha512')
      .update(await readFile(path.join(folder, name)))
      .digest('hex')
    if (got !== sums.get(name)) return `${name} has the checksum ${got}, expected ${sums.get(name) ?? 'no such file'}`
    sums.delete(name)
  }
  const [missing] = sums.keys()
  return missing === undefined ? undefined : `${missing} is missing`
}

function pom(): string {
  const dependencies = PARTS.map(
    ([group, name, version]) =>
      `<dependency><groupId>${group}</groupId><artifactId>${name}</artifactId><version>${version}</version></dependency>`,
  )
  return `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>test</groupId><artifactId>test</artifactId><version>1</version>
<dependencies>${dependencies.join('')}</dependencies></project>\n`
}

async function answers(command: string, argument: string): Promise<boolean> {
  return run(command, [argument]).then(
    () => true,
    () => false,
  )
}
