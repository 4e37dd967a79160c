import { NATIVE_ERROR_CODES, NativeError } from './errors.ts'
import type { Failure, NativeErrorCode } from './errors.ts'

const EPERM = 1
const PROGRAM = /prog '([^']+)':/
const MAP = /map '([^']+)': failed to create: (.*)/
const LOG = /-- BEGIN PROG LOAD LOG --\n([\s\S]*?)-- END PROG LOAD LOG --/
/** `12: (79) r1 = *(u64 *)(r1 +8)`, with the registers' state behind from kernel 5.18 on. */
const INSTRUCTION = /^(\d+: \([0-9a-f]{2}\) [^;]*?)\s*(?:;.*)?$/
/** `; x = *pointer; @ file.c:12`: the C line of the instructions below it. */
const SOURCE = /^; (.*\S)\s*$/
/** Lines that only show state or statistics, never the reason. */
const NOISE = /^(processed \d|verification time|stack depth|from \d|R\d.*=|\d+: R\d|max_states|Func#|func#|$)/

/** By errno, on every architecture: EMFILE and ENFILE. */
const LIMITS: Readonly<Record<number, string>> = {
  24: 'the limit on open files of this process is reached; raise it (ulimit -n, or LimitNOFILE= of the service)',
  23: 'the limit on open files of this system is reached; raise it (sysctl fs.file-max)',
}

/** Makes the error of an addon's failure; of a failed load it names the program or map, and why. Never throws. */
export function toNativeError(failure: Failure): NativeError {
  // First: the limit can stop any step, such as a map's creation, a program's load or its attachment.
  const limit = LIMITS[failure.errno]
  if (limit !== undefined) return new NativeError('NO_DESCRIPTORS', `${failure.message}: ${limit}`, failure)
  if (failure.code === 'LOAD_REFUSED') {
    const { code, message, target } = explainLoad(failure)
    return new NativeError(code, message, { ...failure, target })
  }
  // A code outside the list means an addon of another version; the sentence is still the addon's.
  const code = NATIVE_ERROR_CODES.find((known) => known === failure.code) ?? 'UNSUPPORTED'
  return new NativeError(code, failure.message, failure)
}

/** The verifier's refusal: the last instruction that it checked, its C line if the log has it, and the reason. */
export interface Refusal {
  readonly instruction: string
  readonly source: string
  readonly reason: string
}

/** Finds the refused instruction in a verifier log: the reason is the text behind the last instruction. */
export function refusal(log: string): Refusal {
  let instruction = ''
  let source = ''
  let reason = ''
  for (const line of log.split('\n')) {
    const found = INSTRUCTION.exec(line)
    if (found) {
      instruction = found[1] ?? ''
      reason = ''
      continue
    }
    const code = SOURCE.exec(line)
    if (code) {
      source = code[1] ?? ''
      reason = ''
    } else if (reason === '' && !NOISE.test(line)) {
      reason = line.trim()
    }
  }
  return { instruction, source, reason }
}

/** Explains in one sentence why bpf_object__load failed, from libbpf's text. `target` is the program or map at fault. */
function explainLoad(failure: Failure): { code: NativeErrorCode; message: string; target: string } {
  const { log, errno, message, target } = failure
  const program = PROGRAM.exec(log)?.[1]
  const verifier = LOG.exec(log)?.[1]
  if (program !== undefined && verifier !== undefined) {
    const { instruction, source, reason } = refusal(verifier)
    const at = instruction === '' ? '' : ` at instruction ${instruction}`
    const line = source === '' ? '' : ` [${source}]`
    const sentence = `cannot load program "${program}": the verifier refused it${at}${line}: ${reason || message}`
    return { code: 'LOAD_REFUSED', message: sentence, target: program }
  }
  if (errno === EPERM) {
    const sentence = `${message}; loading BPF needs root (CAP_BPF and CAP_PERFMON)`
    return { code: 'NOT_PERMITTED', message: sentence, target: program ?? target }
  }
  const [, map, reason] = MAP.exec(log) ?? []
  if (map !== undefined) {
    return { code: 'MAP_FAILED', message: `cannot create map "${map}": ${reason ?? message}`, target: map }
  }
  if (log.includes('vmlinux BTF')) {
    return { code: 'NO_BTF', message: `${message}: this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)`, target }
  }
  const what = program === undefined ? message : `cannot load program "${program}": ${message}`
  const last = lastLine(log)
  return { code: 'LOAD_FAILED', message: last === '' ? what : `${what}: ${last}`, target: program ?? target }
}

/** The last line of libbpf that is not only "failed to load object". */
function lastLine(log: string): string {
  const lines = log.split('\n').map((line) => line.replace(/^libbpf: /, '').trim())
  return lines.findLast((line) => line !== '' && !line.startsWith('failed to load object')) ?? ''
}
