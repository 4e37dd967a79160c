/** Files and folders that a config names: which keys do, and where a relative path starts. */
import { isAbsolute, resolve } from 'node:path'
import * as z from 'zod'
import { HOME, ownFile } from './own.ts'

/** The purpose of a file. A file with a secret should be readable by the agent only; the agent writes an output. */
type Holds = 'anything' | 'secret' | 'output'

const PLACES = new WeakMap<z.core.$ZodType, Holds>()

/** Ends the description of every path. */
export const RELATIVE = "Relative paths start at the agent's working directory."

/** A key that names a file or folder; `loadConfig` makes it absolute. */
export function pathSchema(description: string, holds: Holds = 'anything'): z.ZodString {
  const text = z.string().min(1)
  const file = text.regex(/[^/]$/, { error: 'expected the path of a file, which does not end with "/"' })
  const schema = (holds === 'output' ? file : text).describe(`${description} ${RELATIVE}`)
  PLACES.set(schema, holds)
  return schema
}

/** The purpose of the file that this schema names; undefined for other schemas. */
export function pathHolds(schema: z.core.$ZodType): Holds | undefined {
  return PLACES.get(schema)
}

/** Begins a name of ktrail's library of policies, which may stand in place of a path. */
export const LIBRARY = 'library:'

export const inLibrary = (place: string): boolean => place.startsWith(LIBRARY)

const SHIPPED = ownFile('config/ktrail.yaml')

/**
 * A relative path starts at the agent's working directory; in ktrail's own default config, which names files that come with ktrail, at ktrail's
 * folder. A name of the library is no path; a file with such a name is written as ./library:NAME.
 */
export function absolute(path: string, configFile: string): string {
  if (isAbsolute(path) || inLibrary(path)) return path
  return resolve(resolve(configFile) === SHIPPED ? HOME : '', path)
}
