/** The token of this run for live events. A user who can read its file may read the events. */
import { randomBytes } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'

const FILE = '/run/ktrail/page-token'

export interface PageToken extends AsyncDisposable {
  readonly token: string
  readonly file: string
}

/** Writes a new token to a file that only the agent's user can read; disposing removes it. Rejects with the system's error. */
export async function createPageToken(file: string = FILE): Promise<PageToken> {
  const token = randomBytes(18).toString('base64url')
  await mkdir(dirname(file), { recursive: true, mode: 0o755 })
  // Removes the file of a run that was killed. It is never written in place: another user may have it open.
  await rm(file, { force: true })
  await writeFile(file, `${token}\n`, { flag: 'wx', mode: 0o600 })
  return { token, file, [Symbol.asyncDispose]: () => rm(file, { force: true }) }
}
