import type { LoadedConfig } from './load.ts'
import { openServer } from './open-server.ts'
import type { Problem } from '../yaml/problems.ts'
import { openSecrets } from './secret-files.ts'
import { writablePaths } from './writable.ts'

/** What of a config works and should not be so: others may read or write what they should not. Never throws. */
export async function configWarnings(loaded: LoadedConfig, file: string): Promise<Problem[]> {
  return [...openServer(loaded, file), ...(await openSecrets(loaded, file)), ...(await writablePaths(loaded, file))]
}
