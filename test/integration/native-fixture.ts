import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

import { NativeError, openObject } from '../../native/index.ts'
import type { AttachKind, BpfMap, BpfObject, ObjectOptions } from '../../native/types.ts'

/** Why the native tests cannot run on this machine; false if they can. */
export function cannotAttach(): string | false {
  if (process.getuid?.() !== 0) return 'needs root'
  if (!existsSync('/sys/bus/event_source/devices/kprobe/type')) return 'this kernel has no kprobes: run in a guest'
  return false
}

/** The syscall of `process.umask(mask)`: one call, one hit, nothing else in the test calls it. */
export const SYMBOL = process.arch === 'arm64' ? '__arm64_sys_umask' : '__x64_sys_umask'

/** Compiles a file below test/fixtures; the folder goes at the end of the process. */
export function compileFixture(name = 'bpf/native.bpf.c'): string {
  const folder = mkdtempSync(join(tmpdir(), 'ktrail-native-'))
  chmodSync(folder, 0o755) // one test reads it as another user
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const source = fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url))
  const output = join(folder, 'fixture.bpf.o')
  const include = process.arch === 'arm64' ? '/usr/include/aarch64-linux-gnu' : '/usr/include/x86_64-linux-gnu'
  execFileSync('clang-16', ['-g', '-O2', '-target', 'bpf', `-I${include}`, '-c', source, '-o', output])
  return output
}

/** Little-endian bytes of a number. */
export function bytesOf(value: number, size: 4 | 8 = 4): Buffer {
  const bytes = Buffer.alloc(size)
  bytes.writeUInt32LE(value)
  return bytes
}

/** No program may modify the return value of SYMBOL: test/e2e/engine/actions.test.ts has fmod_ret. Tracepoints: test/e2e/language. */
export type Kind = Exclude<AttachKind, 'fmod_ret' | 'tracepoint' | 'raw_tracepoint'>

/** The program of the fixture for a kind, with its load options. */
export function programFor(kind: Kind): ObjectOptions['programs'] {
  switch (kind) {
    case 'kprobe.multi':
      return [{ name: 'handle_multi', kind }]
    case 'kretprobe.multi':
      return [{ name: 'handle_return_multi', kind }]
    case 'kprobe.session':
      return [{ name: 'handle_session', kind }]
    case 'kprobe':
      return [{ name: 'handle_kprobe', kind }]
    case 'kretprobe':
      return [{ name: 'handle_kretprobe', kind }]
    case 'fentry':
      return [{ name: 'handle_fentry', kind, target: SYMBOL }]
    case 'fexit':
      return [{ name: 'handle_fexit', kind, target: SYMBOL }]
    case 'tp_btf':
      return [{ name: 'handle_tp', kind, target: 'sched_process_exit' }]
    case 'run':
      return [{ name: 'handle_run', kind }]
  }
}

/** Opens the fixture with one program, hits of process `tgid` only (0: none). */
export function openFixture(
  path: string,
  kind: Kind,
  options: { tgid?: number; constants?: Record<string, Uint8Array>; ringBytes?: number } = {},
): Promise<BpfObject> {
  return openObject(path, {
    programs: programFor(kind),
    constants: { only_tgid: bytesOf(options.tgid ?? process.pid), ...options.constants },
    ...(options.ringBytes === undefined ? {} : { mapSizes: { ring: options.ringBytes } }),
  })
}

const MASK = process.umask() // calls the hooked function too, so here and not in `hit`

/** Calls the hooked function exactly `times` times. */
export function hit(times = 1): void {
  for (let i = 0; i < times; i++) process.umask(MASK)
}

/** Why this kernel has no kprobe.multi (Debian's 6.1 is built without CONFIG_FPROBE); false if it has. */
export async function noMulti(path: string): Promise<string | false> {
  using object = await openFixture(path, 'kprobe.multi', { tgid: 0 })
  try {
    const link = await object.attach('handle_multi', [SYMBOL])
    link.close()
    return false
  } catch (error) {
    if (error instanceof NativeError && error.code === 'UNSUPPORTED') return error.message
    throw error
  }
}

function checked(error: unknown, code: NativeError['code'], message: RegExp): NativeError {
  if (!(error instanceof NativeError)) throw error
  assert.equal(error.code, code, error.message)
  assert.match(error.message, message)
  return error
}

/** Asserts that `action` throws a NativeError with this code and message; returns it. */
export function fails(action: () => unknown, code: NativeError['code'], message: RegExp): NativeError {
  try {
    action()
  } catch (error) {
    return checked(error, code, message)
  }
  assert.fail(`expected ${code} ${message}`)
}

/** As `fails`, for a promise. */
export async function rejects(
  promise: Promise<unknown>,
  code: NativeError['code'],
  message: RegExp,
): Promise<NativeError> {
  try {
    await promise
  } catch (error) {
    return checked(error, code, message)
  }
  assert.fail(`expected ${code} ${message}`)
}

/** Sum over all CPUs: 0 hits, 1 records that the ring refused. */
export function sumOf(counts: BpfMap, index: number): number {
  const values = counts.lookup(bytesOf(index)) ?? Buffer.alloc(0)
  let sum = 0n
  for (let at = 0; at < values.length; at += 8) sum += values.readBigUInt64LE(at)
  return Number(sum)
}

/** Waits for a condition; throws with its description after `ms`. */
export async function until(what: string, condition: () => boolean, ms = 20_000): Promise<void> {
  const end = Date.now() + ms
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited ${ms} ms for: ${what}`)
    await setTimeout(5)
  }
}

/** Open descriptors of this process. */
export function descriptors(): number {
  return readdirSync('/proc/self/fd').length
}

/** Members of `all` that are not in `known`. */
export function added(all: ReadonlySet<number>, known: ReadonlySet<number>): Set<number> {
  return new Set([...all].filter((id) => !known.has(id)))
}

/** Ids of all BPF programs in the kernel. */
export function programIds(): Set<number> {
  const list: unknown = JSON.parse(execFileSync('bpftool', ['-j', 'prog', 'list'], { encoding: 'utf8' }))
  const ids = new Set<number>()
  if (!Array.isArray(list)) return ids
  for (const item of list) {
    if (typeof item === 'object' && item !== null && 'id' in item && typeof item.id === 'number') ids.add(item.id)
  }
  return ids
}
