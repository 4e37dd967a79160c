/**
 * The stack of BPF programs. A program's functions have 512 bytes together, on each way from one to the next; before 6.9 the verifier counts each
 * in steps of 32 bytes, newer ones in steps of 16. At most eight functions may be in each other (kernel/bpf/verifier.c, check_max_stack_depth).
 * Only few tests run on old kernels, so the objects are looked at here. Room for one more step is kept: compilers differ.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'

const BUILT = fileURLToPath(new URL('../../bpf/build/', import.meta.url))
const STACK_BYTES = 512 - 32
/** Objects with session kfuncs are for kernels from 6.10 on. */
const stepOf = (object: string): number => (/typed(_ctx)?\.bpf\.o$/.test(object) ? 16 : 32)
const FRAMES = 8
const CALL = '85 10'
/** Has a function's address as its value, where a relocation says so: callbacks of bpf_loop. */
const LOAD_ADDRESS = '18'

interface Function {
  readonly section: string
  stack: number
  readonly calls: Set<string>
}

/** An instruction that may point to a function, by its number in the section. */
interface Pointer {
  readonly code: string
  readonly value: number
  readonly at: number
}

interface Way {
  readonly bytes: number
  readonly names: readonly string[]
}

function objdump(...words: readonly string[]): string {
  for (const version of ['-16', '-17', '-18', '-19', '']) {
    const { stdout, status } = spawnSync(`llvm-objdump${version}`, words, { encoding: 'utf8', maxBuffer: 256 << 20 })
    if (status === 0) return stdout
  }
  throw new Error(`no llvm-objdump that reads ${words.at(-1)}: it comes with the llvm-strip that bpf/Makefile needs`)
}

/** Signed number of an instruction's last four bytes, as objdump prints them. */
const immediate = (bytes: string): number => Buffer.from(bytes.replaceAll(' ', ''), 'hex').readInt32LE(4)

function functionsOf(object: string): Map<string, Function> {
  const names = new Set(
    [...objdump('-t', object).matchAll(/^[0-9a-f]+ .{5} F .*?(\S+)$/gm)].map(([, name = '']) => name),
  )
  const functions = new Map<string, Function>()
  const places = new Map<string, string>()
  /** Calls by place, once all functions are known. */
  const placed: Array<readonly [from: Function, place: string]> = []
  let section = ''
  let present: Function | undefined
  const inStack = new Set<string>()
  let last: Pointer | undefined
  for (const line of objdump('-dr', object).split('\n')) {
    section = /^Disassembly of section (\S+):/.exec(line)?.[1] ?? section
    const [, address = '', label = ''] = /^([0-9a-f]+) <([^>]+)>:/.exec(line) ?? []
    if (names.has(label)) {
      present = { section, stack: 0, calls: new Set() }
      functions.set(label, present)
      places.set(`${section} ${Number.parseInt(address, 16)}`, label)
    }
    const symbol = /R_BPF_64_(?:32|64)\s+(\S+)/.exec(line)?.[1]
    if (symbol !== undefined && last !== undefined && present !== undefined) {
      const { code, value } = last
      if (names.has(symbol)) present.calls.add(symbol)
      // An offset in the section: of the call's target in instructions, less one; of an address in bytes.
      else if (symbol === '.text') placed.push([present, `.text ${code === CALL ? (value + 1) * 8 : value}`])
      last = undefined
    }
    const [, at = '', bytes] = /^\s+(\d+):\s((?:[0-9a-f]{2}\s){8})/.exec(line) ?? []
    if (bytes === undefined || present === undefined) continue
    // A call without a relocation: of a function in the same section, so many instructions behind the next one.
    if (last?.code === CALL) placed.push([present, `${section} ${(last.at + 1 + last.value) * 8}`])
    const code = bytes.startsWith(CALL) ? CALL : bytes.slice(0, 2)
    last = code === CALL || code === LOAD_ADDRESS ? { code, value: immediate(bytes), at: Number(at) } : undefined
    // An access below the frame pointer, or an address there in the making: `r2 = r10`, `r2 += -0x10`.
    const access = /r10 - (0x[0-9a-f]+)/.exec(line)?.[1]
    const [, register = '', offset] = /\b(r\d) (?:\+= -(0x[0-9a-f]+)|= .*)$/.exec(line) ?? []
    const below = access ?? (inStack.has(register) ? offset : undefined)
    if (below !== undefined) present.stack = Math.max(present.stack, Number(below))
    if (line.endsWith(`${register} = r10`)) inStack.add(register)
    else inStack.delete(register)
  }
  for (const [from, place] of placed) {
    const to = places.get(place)
    assert.ok(to !== undefined, `${object}: nothing begins at ${place}`)
    from.calls.add(to)
  }
  return functions
}

function deepest(functions: ReadonlyMap<string, Function>, name: string, step: number, known: Map<string, Way>): Way {
  const before = known.get(name)
  if (before !== undefined) return before
  const { stack = 0, calls = new Set<string>() } = functions.get(name) ?? {}
  let below: Way = { bytes: 0, names: [] }
  for (const call of calls) {
    const way = deepest(functions, call, step, known)
    if (way.bytes > below.bytes || (way.bytes === below.bytes && way.names.length > below.names.length)) below = way
  }
  const way = {
    bytes: below.bytes + Math.max(1, Math.ceil(stack / step)) * step,
    names: [`${name} (${stack})`, ...below.names],
  }
  known.set(name, way)
  return way
}

/** Instructions that lower the address of an object on the stack, with their functions. */
function lowered(object: string): string[] {
  const found: string[] = []
  let name = ''
  /** Registers with an address on the stack: of the frame, or of an object in it. */
  const addresses = new Map<string, 'frame' | 'object'>()
  for (const line of objdump('-d', '--no-show-raw-insn', object).split('\n')) {
    name = /^[0-9a-f]+ <([^>]+)>:/.exec(line)?.[1] ?? name
    const [, text = ''] = /^\s+\d+:\s+(.*)$/.exec(line) ?? []
    const [, to = '', operator = '', operand = ''] = /^([rw]\d) (\S?=) (\S+)$/.exec(text) ?? []
    const before = addresses.get(to)
    if (operator === '+=' && before !== undefined) {
      if (before === 'object' && operand.startsWith('-')) found.push(`${name}: ${text}`)
      addresses.set(to, 'object')
    } else if (operator === '-=' && before !== undefined) found.push(`${name}: ${text}`)
    else {
      const copied = operand === 'r10' ? 'frame' : addresses.get(operand)
      const [, written] = /^[rw](\d+)\b/.exec(text) ?? []
      for (const each of text.startsWith('call') ? [0, 1, 2, 3, 4, 5] : [written]) addresses.delete(`r${each}`)
      if (operator === '=' && copied !== undefined) addresses.set(to, copied)
    }
  }
  return found
}

// The object with the layout of structs has no programs.
for (const file of readdirSync(BUILT).filter((name) => /^(?!layout).*\.bpf\.o$/.test(name))) {
  test(`bpf: no address of an object on the stack is lowered in ${file}, as native/trim requires`, () => {
    assert.deepEqual(lowered(`${BUILT}${file}`), [])
  })

  test(`bpf: the functions of ${file} have room on the stack`, () => {
    const functions = functionsOf(`${BUILT}${file}`)
    const known = new Map<string, Way>()
    const programs = [...functions].filter(([, { section }]) => section !== '.text')
    assert.ok(programs.length > 0, 'no programs')
    for (const [name] of programs) {
      const { bytes, names } = deepest(functions, name, stepOf(file), known)
      assert.ok(bytes <= STACK_BYTES, `${bytes} bytes, expected at most ${STACK_BYTES}: ${names.join(' > ')}`)
      assert.ok(names.length <= FRAMES, `${names.length} functions, expected at most ${FRAMES}: ${names.join(' > ')}`)
    }
  })
}
