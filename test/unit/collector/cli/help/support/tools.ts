/** Programs that a machine may lack. */
import { spawnSync } from 'node:child_process'

/** The reason to skip a test; false where the program is there. */
export function missingTool(name: string): string | false {
  return spawnSync(name, ['--version']).error === undefined ? false : `${name} is not installed`
}
