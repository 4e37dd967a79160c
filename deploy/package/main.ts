/**
 * Runs the program, `ktrail.cjs` beside this file, with the code that V8 compiled for an earlier agent. Node's own compile cache has only the
 * functions that V8 compiles before they run; this one is written when an agent has started, with all functions that it ran.
 *
 *   0 u32  CRC-32 of the program: V8 compares only its length     4 u32  CRC-32 of the code: V8 trusts it     8  the code
 */
import { subscribe } from 'node:diagnostics_channel'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Script, constants } from 'node:vm'
import { crc32 } from 'node:zlib'

const CODE_AT = 8
const filename = join(import.meta.dirname, 'ktrail.cjs')
const program = readFileSync(filename)
const crc = crc32(program)
// Only this user can write there: the launcher has checked it.
const folder = process.env['NODE_COMPILE_CACHE']

function keptIn(file: string): Buffer | undefined {
  try {
    const kept = readFileSync(file)
    const code = kept.subarray(CODE_AT)
    return kept.readUInt32LE(0) === crc && kept.readUInt32LE(4) === crc32(code) ? code : undefined
  } catch {
    return undefined
  }
}

/** Whole or not at all, and writable only for this user, whatever its umask: it is code. Without it the next start is only slower. */
function keep(code: Buffer, file: string): void {
  const header = Buffer.alloc(CODE_AT)
  header.writeUInt32LE(crc, 0)
  header.writeUInt32LE(crc32(code), 4)
  try {
    writeFileSync(`${file}.${process.pid}`, Buffer.concat([header, code]), { mode: 0o600 })
    renameSync(`${file}.${process.pid}`, file)
  } catch {
    // A full or read-only file system.
  }
}

const cache = folder === undefined ? undefined : join(folder, `ktrail-${process.arch}.code`)
const cachedData = cache === undefined ? undefined : keptIn(cache)
// Latin-1: V8 takes two bytes for each character of another text. Only comments have others than ASCII.
const script = new Script(
  `(function (require, __filename, __dirname, module, exports) {'use strict';${program.toString('latin1')}\n})`,
  {
    filename,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    ...(cachedData === undefined ? {} : { cachedData }),
  },
)
if (cache !== undefined && (cachedData === undefined || script.cachedDataRejected === true)) {
  subscribe('ktrail:started', () => keep(script.createCachedData(), cache))
}
script.runInThisContext()(createRequire(filename), filename, import.meta.dirname, { exports: {} }, {})
