/**
 * Names and numbers of system calls, for policies that are checked without a kernel. A system call is hooked by its kernel function, such as
 * sys_openat, to which the prefix of the architecture is added. system-calls.json has them by architecture: a number in a text begins a run of names.
 * `others` are functions of x86-64 and arm64 with other names. Sources: Linux's tables arch/x86/entry/syscalls and
 * include/uapi/asm-generic/unistd.h, up to 6.19.
 */
import { suggest } from '../yaml/suggest.ts'
import TEXTS from './data/system-calls.json' with { type: 'json' }

type Abi = 'x64' | 'i386' | 'arm64'

/** Kernel functions whose system call has another name. */
const CALLED: Readonly<Record<string, string>> = {
  newstat: 'stat',
  newlstat: 'lstat',
  newfstat: 'fstat',
  newuname: 'uname',
  umount: 'umount2',
  sendfile64: 'sendfile',
  fadvise64_64: 'fadvise64',
  mmap_pgoff: 'mmap2',
}

const PREFIXES: Readonly<Record<string, Abi>> = { x64: 'x64', ia32: 'i386', arm64: 'arm64' }
/** Mark of 32-bit programs' system calls (bpf/args/event.h). */
const COMPAT_BIT = 1n << 31n
const MACHINE: Abi = process.arch === 'arm64' ? 'arm64' : 'x64'

const tables = new Map<Abi, ReadonlyMap<string, number>>()

function tableOf(abi: Abi): ReadonlyMap<string, number> {
  const known = tables.get(abi)
  if (known !== undefined) return known
  const table = new Map<string, number>()
  let next = 0
  for (const word of TEXTS[abi].flatMap((line) => line.split(' '))) {
    if (/^\d+$/.test(word)) next = Number(word)
    else table.set(word, next++)
  }
  tables.set(abi, table)
  return table
}

/** A newer kernel may have more, so an unknown name is only a hint. */
const NAMES: ReadonlySet<string> = new Set([
  ...tableOf('x64').keys(),
  ...tableOf('arm64').keys(),
  ...TEXTS.others.flatMap((line) => line.split(' ')),
])

/** With the prefix of an architecture or without, and as the 32-bit variant. */
const FUNCTION = /^(?:__(x64|arm64|ia32)_)?(?:compat_)?sys_(\w+)$/

export interface CallMistake {
  /** False when a kernel may have it. */
  readonly sure: boolean
  readonly message: string
}

/** The mistake in `call`, given the policy's `syscall`; undefined if there is none. */
export function callMistake(call: string, isSyscall: boolean): CallMistake | undefined {
  const name = FUNCTION.exec(call)?.[2]
  if (!isSyscall) {
    if (!call.startsWith('sys_') || name === undefined || !NAMES.has(name)) return undefined
    return { sure: true, message: `"${call}" is a system call: remove syscall: false` }
  }
  if (name === undefined) {
    const expected = `expected a system call such as sys_openat, got "${call}"`
    if (NAMES.has(call)) return { sure: true, message: `${expected} (did you mean "sys_${call}"?)` }
    return { sure: true, message: `${expected}; for another kernel function add syscall: false` }
  }
  if (NAMES.has(name)) return undefined
  const near = suggest(name, NAMES)
  return near === undefined
    ? undefined
    : { sure: false, message: `"${call}" is not a known system call (did you mean "sys_${near}"?)` }
}

/** The number that a tracepoint has for a system call such as sys_dup or __ia32_sys_dup on this machine, or why there is none. */
export function callNumber(call: string): bigint | string {
  const [, prefix, name = ''] = FUNCTION.exec(call) ?? []
  const abi = prefix === undefined ? MACHINE : (PREFIXES[prefix] ?? MACHINE)
  if (abi !== MACHINE && (abi !== 'i386' || MACHINE !== 'x64')) return `this machine has no system call ${call}`
  const table = tableOf(abi)
  const number = table.get(name) ?? table.get(CALLED[name] ?? '')
  if (number === undefined) return `the number of ${call} is not known; write the number`
  return abi === 'i386' ? BigInt(number) | COMPAT_BIT : BigInt(number)
}
