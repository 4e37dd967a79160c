/**
 * Runs the program, `ktrail.cjs` beside this file, with the code that V8 compiled for an earlier run. Node's own compile cache has only the
 * functions that V8 compiles before they run. This one is written when an agent has started, with all functions that ran; until then, when a
 * command ends.
 *
 *   0 u32  CRC-32 of the program: V8 compares only its length     4 u32  CRC-32 of the code: V8 trusts it
 *   8 u32  1 if an agent had started                             12      the code
 */
import { subscribe } from 'node:diagnostics_channel'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Script, constants } from 'node:vm'
import { crc32 } from 'node:zlib'

const CODE_AT = 12
const filename = join(import.meta.dirname, 'ktrail.cjs')
const program = readFileSync(filename)
const crc = crc32(program)

interface Kept {
  readonly code: Buffer
  readonly started: boolean
}

function keptIn(file: string): Kept | undefined {
  try {
    const bytes = readFileSync(file)
    const code = bytes.subarray(CODE_AT)
    if (bytes.readUInt32LE(0) !== crc || bytes.readUInt32LE(4) !== crc32(code)) return undefined
    return { code, started: bytes.readUInt32LE(8) === 1 }
  } catch {
    return undefined
  }
}

/** Whole or not at all, and writable only for this user, whatever its umask: it is code. Without it the next start is only slower. */
function keep({ code, started }: Kept, file: string): void {
  const header = Buffer.alloc(CODE_AT)
  header.writeUInt32LE(crc, 0)
  header.writeUInt32LE(crc32(code), 4)
  header.writeUInt32LE(started ? 1 : 0, 8)
  try {
    writeFileSync(`${file}.${process.pid}`, Buffer.concat([header, code]), { mode: 0o600 })
    renameSync(`${file}.${process.pid}`, file)
  } catch {
    // A full or read-only file system.
  }
}

// Only this user can write there: the launcher has checked it.
const folder = process.env['NODE_COMPILE_CACHE']
const cache = folder === undefined ? undefined : join(folder, `ktrail-${process.arch}.code`)
const kept = cache === undefined ? undefined : keptIn(cache)
// Latin-1: V8 takes two bytes for each character of another text. Only comments have others than ASCII.
const script = new Script(
  `(function (require, __filename, __dirname, module, exports) {'use strict';${program.toString('latin1')}\n})`,
  {
    filename,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    ...(kept === undefined ? {} : { cachedData: kept.code }),
  },
)
if (cache !== undefined) {
  // The functions below live as long as the agent: they must not name `kept`, whose code has 2 MB.
  const usable = kept !== undefined && script.cachedDataRejected !== true
  const complete = usable && kept.started
  const atExit = (): void => keep({ code: script.createCachedData(), started: false }, cache)
  if (!usable) process.once('exit', atExit)
  subscribe('ktrail:started', () => {
    process.off('exit', atExit)
    if (!complete) keep({ code: script.createCachedData(), started: true }, cache)
  })
}
script.runInThisContext()(createRequire(filename), filename, import.meta.dirname, { exports: {} }, {})
