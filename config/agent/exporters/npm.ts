import * as z from 'zod'
import { chain } from './chain.ts'

/** The placeholder for these types in a list of types. */
export const NPM_FORM = 'npm:<package>'

/** npm's rules for names of packages; no path and no version, so that it names nothing outside of a node_modules folder. */
const PACKAGE = /^(?:@[a-z0-9~-][a-z0-9._~-]{0,100}\/)?[a-z0-9~-][a-z0-9._~-]{0,100}$/
const EXPECTED = 'expected npm: and the name of an installed package such as npm:ktrail-exporter-http'

/** A package by its name, as a value of the config. */
export const packageName = z.templateLiteral(['npm:', z.string().regex(PACKAGE)], { error: EXPECTED })

/** `type: npm:<package>`: a third-party exporter. */
export const npm = z
  .strictObject({
    type: packageName.describe(
      'An exporter from an npm package. The agent searches the node_modules folders at and above the config file, ' +
        "then ktrail's own. The code runs inside the agent, with the agent's rights.",
    ),
    options: z
      .record(z.string(), z.unknown())
      .default({})
      .describe(
        'Options for the package, which defines the keys. References such as ${env:X} are replaced. Values of ' +
          'keys that look like secrets, such as token, are never printed.',
      ),
    ...chain,
  })
  .describe('Exporter from an npm package.')

export function isPackageType(type: string): type is `npm:${string}` {
  return type.startsWith('npm:')
}

export function packageOf(type: `npm:${string}`): string {
  return type.slice('npm:'.length)
}
