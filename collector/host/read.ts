/** Files that a host may not have, or not show. */
import { readFileSync } from 'node:fs'

/** The text; undefined if the file cannot be read. */
export function readOr(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
