/**
 * Images for tests: the official one if it exists or can be pulled, else one built here of packages. The daemon keeps that
 * under a tag that is the hash of its inputs.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import { ImageName } from 'testcontainers'
import type { Engine } from './engine.ts'

/** A pull that hangs must not block the test. */
const PULL_MS = 300_000

/** How to build an image here. */
export interface Recipe {
  /** Repository of the image built. */
  readonly name: string
  readonly entrypoint: readonly string[]
  /** The inputs: with the same ones, the image of an earlier run is used. */
  readonly inputs: readonly (string | Uint8Array)[]
  /** Fills the folder with the root file system. Throws an error whose message is the reason. */
  fill(folder: string): Promise<void>
}

export type Image = { readonly image: string } | { readonly missing: string }

/** The official image, else that of the recipe; the reason if there is neither. */
export async function imageOf(engine: Engine, official: string, recipe?: Recipe): Promise<Image> {
  const why = await pull(engine, official)
  if (why === undefined) return { image: official }
  // The image of the helper that cleans up after a killed test cannot be pulled either.
  process.env['TESTCONTAINERS_RYUK_DISABLED'] = 'true'
  if (recipe === undefined) return { missing: `cannot pull ${official}: ${why}; this test runs where it can` }
  try {
    return { image: await built(engine, recipe) }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return { missing: `cannot pull ${official}: ${why}; cannot build ${recipe.name} either: ${reason}` }
  }
}

/** Why the image cannot be pulled; undefined if it could. */
async function pull({ client }: Engine, official: string): Promise<string | undefined> {
  const name = ImageName.fromString(official)
  const late = new AbortController()
  try {
    const deadline = pause(PULL_MS, undefined, { signal: late.signal }).then(() => {
      throw new Error(`no answer in ${PULL_MS / 1000} s`)
    })
    deadline.catch(() => {})
    await Promise.race([client.image.pull(name), deadline])
    if (await client.image.exists(name)) return undefined
    return 'the pull ended without the image'
  } catch (error) {
    return String(error instanceof Error ? error.message : error)
      .trim()
      .replaceAll('\n', ' ')
  } finally {
    late.abort()
  }
}

async function built({ client }: Engine, { name, entrypoint, inputs, fill }: Recipe): Promise<string> {
  const { dockerode } = client.container
  const hash = createHash('sha256').update(JSON.stringify(entrypoint))
  for (const input of inputs) hash.update(input).update('\0')
  const tag = hash.digest('hex').slice(0, 16)
  const image = `${name}:${tag}`
  if (await client.image.exists(ImageName.fromString(image))) return image
  const folder = await mkdtemp(path.join(tmpdir(), 'ktrail-image-'))
  try {
    await fill(folder)
    const tar = spawn('tar', ['-C', folder, '--owner=0', '--group=0', '--numeric-owner', '-c', '.'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const changes = `ENTRYPOINT ${JSON.stringify(entrypoint)}`
    const answer = await text(await dockerode.importImage(tar.stdout, { repo: name, tag, changes }))
    if (!(await client.image.exists(ImageName.fromString(image))))
      throw new Error(`the daemon answered: ${answer.trim()}`)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  // Made of other inputs and no longer needed.
  for (const { Id, RepoTags } of await dockerode.listImages({ filters: { reference: [name] } })) {
    if (RepoTags?.includes(image) === false) await dockerode.getImage(Id).remove({ force: true })
  }
  return image
}
