/**
 * Generates the JavaScript and the types of the .proto files of collector/proto/ beside them. Run after any change of a .proto file:
 * `node test/support/proto/write-proto.ts`.
 */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))

/** Generates into `folder`, as `tetragon/events_pb.js` and so on. */
export function generate(folder: string): void {
  const options = ['target=js+dts', 'import_extension=js']
  const template = { version: 'v2', plugins: [{ local: 'protoc-gen-es', out: folder, opt: options }] }
  execFileSync('node_modules/.bin/buf', ['generate', 'collector/proto', '--template', JSON.stringify(template)], {
    cwd: ROOT,
    env: { ...process.env, PATH: `${ROOT}/node_modules/.bin:${process.env['PATH']}` },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
}

if (import.meta.main) generate(`${ROOT}collector/proto`)
