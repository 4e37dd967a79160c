/**
 * Writes a container image as an OCI archive, without a container engine. The same layers give the same bytes.
 *
 *   node deploy/release/oci.ts FOLDER NAME:TAG REVISION PLATFORM=LAYER[,LAYER]…
 *
 * FOLDER, which must be empty, becomes an OCI image layout. A LAYER is a tar file without its `.tar.gz` beside it, as `gzip -k` leaves both.
 * SOURCE_DATE_EPOCH is the date of the image. Commands and health check are those of deploy/docker/Dockerfile.
 */
import { hash } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'

interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

const OCI = 'application/vnd.oci.image'
const NS = 1_000_000_000

const [folder = '', reference = '', revision = '', ...platforms] = process.argv.slice(2)
const blobs = path.join(folder, 'blobs/sha256')
const tag = reference.slice(reference.indexOf(':') + 1)
const created = new Date(Number(process.env['SOURCE_DATE_EPOCH']) * 1000).toISOString().replace('.000Z', 'Z')
const dockerfile = readFileSync(new URL('../docker/Dockerfile', import.meta.url), 'utf8')

/** The rest of a line of the Dockerfile, after the instruction. */
function instruction(name: string): string {
  const found = new RegExp(`^${name} (.*)$`, 'm').exec(dockerfile)?.[1]
  if (found === undefined) throw new Error(`deploy/docker/Dockerfile: expected a line ${name}, got none`)
  return found
}

/** The arguments after the options of an instruction. */
const words = (text: string): string[] => JSON.parse(text.slice(text.indexOf('[')))

/** The value of a label in the Dockerfile. */
const label = (name: string): string =>
  new RegExp(`org\\.opencontainers\\.image\\.${name}="([^"$]+)"`).exec(dockerfile)?.[1] ?? ''

function seconds(option: string): number {
  return Number(new RegExp(`--${option}=(\\d+)s`).exec(instruction('HEALTHCHECK'))?.[1]) * NS
}

const sum = (file: string): string => `sha256:${hash('sha256', readFileSync(file))}`
const hexOf = (digest: string): string => digest.slice('sha256:'.length)

/** A file of the layout that is named by its content. */
function blob(mediaType: string, content: object): Descriptor {
  const text = JSON.stringify(content)
  const digest = `sha256:${hash('sha256', text)}`
  writeFileSync(path.join(blobs, hexOf(digest)), text)
  return { mediaType, digest, size: Buffer.byteLength(text) }
}

function layer(tar: string): Descriptor {
  const bytes = readFileSync(`${tar}.gz`)
  const digest = `sha256:${hash('sha256', bytes)}`
  linkSync(`${tar}.gz`, path.join(blobs, hexOf(digest)))
  return { mediaType: `${OCI}.layer.v1.tar+gzip`, digest, size: bytes.length }
}

const annotations = {
  'org.opencontainers.image.title': label('title'),
  'org.opencontainers.image.description': label('description'),
  'org.opencontainers.image.licenses': label('licenses'),
  'org.opencontainers.image.version': tag,
  'org.opencontainers.image.revision': revision,
  'org.opencontainers.image.created': created,
}

function image(given: string): object {
  const [architecture = '', list = ''] = given.split('=')
  const tars = list.split(',')
  const config = blob(`${OCI}.config.v1+json`, {
    created,
    architecture,
    os: 'linux',
    config: {
      User: instruction('USER'),
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      Entrypoint: words(instruction('ENTRYPOINT')),
      Cmd: words(instruction('CMD')),
      Labels: annotations,
      StopSignal: instruction('STOPSIGNAL'),
      Healthcheck: {
        Test: ['CMD', ...words(instruction('HEALTHCHECK'))],
        Interval: seconds('interval'),
        Timeout: seconds('timeout'),
        StartPeriod: seconds('start-period'),
        Retries: Number(/--retries=(\d+)/.exec(instruction('HEALTHCHECK'))?.[1]),
      },
    },
    rootfs: { type: 'layers', diff_ids: tars.map(sum) },
    history: tars.map((tar) => ({ created, created_by: path.basename(tar) })),
  })
  const manifest = { schemaVersion: 2, mediaType: `${OCI}.manifest.v1+json`, config, layers: tars.map(layer) }
  return { ...blob(manifest.mediaType, { ...manifest, annotations }), platform: { architecture, os: 'linux' } }
}

mkdirSync(blobs, { recursive: true })
// One image for all processors: an engine loads its own.
const all = { schemaVersion: 2, mediaType: `${OCI}.index.v1+json`, manifests: platforms.map(image) }
const named = {
  ...blob(all.mediaType, all),
  annotations: {
    'org.opencontainers.image.ref.name': tag,
    'io.containerd.image.name': `docker.io/library/${reference}`,
  },
}
writeFileSync(path.join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
writeFileSync(
  path.join(folder, 'index.json'),
  JSON.stringify({ schemaVersion: 2, mediaType: all.mediaType, manifests: [named] }),
)
