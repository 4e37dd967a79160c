/**
 * Writes the JavaScript that runs, in few files: Node loads them faster than hundreds of sources, and in less memory.
 *
 *   node deploy/package/bundle.ts FOLDER
 *
 * FOLDER gets the program (`collector/main.js`), the test tools for authors of exporters (`exporters/testing/index.js`), and the parts of
 * both. Some parts are loaded only when they are needed.
 */
import { build } from 'esbuild'
import type { Plugin } from 'esbuild'

const [outdir = ''] = process.argv.slice(2)

/** Packages of many small files, which every agent loads. The others stay in node_modules: some have a binary, of some we use inner files. */
const INSIDE = /^(?:zod|yaml|pino|prom-client|@bufbuild\/protobuf)(?:\/|$)/

const outside: Plugin = {
  name: 'packages in node_modules',
  setup: ({ onResolve }) =>
    // A name of a package; the imports of packages inside go with them.
    onResolve({ filter: /^[^./]/ }, ({ path, importer, kind }) =>
      kind === 'entry-point' || INSIDE.test(path) || /\/node_modules\//.test(importer)
        ? undefined
        : { path, external: true },
    ),
}

await build({
  entryPoints: ['collector/main.ts', 'exporters/testing/index.ts'],
  outdir,
  outbase: '.',
  bundle: true,
  splitting: true,
  chunkNames: 'parts/[name]-[hash]',
  format: 'esm',
  platform: 'node',
  target: 'node24',
  legalComments: 'eof',
  // For packages inside that are CommonJS.
  banner: {
    js: "import { createRequire as requireOf } from 'node:module'\nconst require = requireOf(import.meta.url)",
  },
  plugins: [outside],
  logLevel: 'warning',
})
