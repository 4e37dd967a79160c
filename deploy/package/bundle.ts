/**
 * Writes the JavaScript that runs, in few files: Node loads them faster than hundreds of sources, and in less memory.
 *
 *   node deploy/package/bundle.ts FOLDER
 *
 * FOLDER gets the program (`collector/ktrail.cjs`, which `collector/main.js` runs), and the test tools for authors of exporters
 * (`exporters/testing/index.js`) with their parts.
 */
import { build } from 'esbuild'
import type { BuildOptions, Plugin } from 'esbuild'

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

const OPTIONS: BuildOptions = {
  outdir,
  outbase: '.',
  bundle: true,
  platform: 'node',
  target: 'node24',
  legalComments: 'eof',
  plugins: [outside],
  logLevel: 'warning',
}

await build({
  ...OPTIONS,
  entryPoints: ['exporters/testing/index.ts'],
  splitting: true,
  chunkNames: 'parts/[name]-[hash]',
  format: 'esm',
  // For packages inside that are CommonJS.
  banner: {
    js: "import { createRequire as requireOf } from 'node:module'\nconst require = requireOf(import.meta.url)",
  },
})

// CommonJS: a module that is imported by `import()` runs at its first use, and what it imports from node_modules is loaded then.
await build({
  ...OPTIONS,
  entryPoints: { 'collector/ktrail': 'collector/main.ts' },
  outExtension: { '.js': '.cjs' },
  format: 'cjs',
  define: { 'import.meta.url': 'importMetaUrl', 'import.meta.dirname': '__dirname' },
  banner: { js: "const importMetaUrl = require('node:url').pathToFileURL(__filename).href" },
})

// Last: its date shows the launcher whether a source is newer.
await build({ ...OPTIONS, entryPoints: { 'collector/main': 'deploy/package/main.ts' }, format: 'esm' })
