/** The registers that `data` may read (`source: pt_regs`): Tetragon's names, and where `struct pt_regs` of each processor has them. */
import type { Fields } from '../fields.ts'
import { didYouMean } from '../../yaml/suggest.ts'
import { show } from '../../yaml/problems.ts'

export interface Register {
  /** In `struct pt_regs`. */
  readonly offset: number
  /** Lowest bytes that the name means. */
  readonly bytes: number
}

type Registers = ReadonlyMap<string, Register>

const REGISTER_BYTES = 8

/** arch/x86/include/asm/ptrace.h; the names of 8, 4, 2 and 1 bytes of each register. */
const X64 = [
  ...['r15', 'r14', 'r13', 'r12'].map(numbered),
  ['rbp', 'ebp', 'bp', 'bpl'],
  ['rbx', 'ebx', 'bx', 'bl'],
  ...['r11', 'r10', 'r9', 'r8'].map(numbered),
  ['rax', 'eax', 'ax', 'al'],
  ['rcx', 'ecx', 'cx', 'cl'],
  ['rdx', 'edx', 'dx', 'dl'],
  ['rsi', 'esi', 'si', 'sil'],
  ['rdi', 'edi', 'di', 'dil'],
  [], // orig_ax
  ['rip', 'eip'],
  [], // cs
  [], // flags
  ['rsp', 'esp', 'sp', 'spl'],
]

function numbered(name: string): string[] {
  return [name, `${name}d`, `${name}w`, `${name}b`]
}

/** arch/arm64/include/uapi/asm/ptrace.h; the names of 8 and 4 bytes. */
const ARM64 = [...Array.from({ length: 31 }, (_, n) => [`x${n}`, `w${n}`]), ['sp'], ['pc']]

const located = (rows: readonly string[][]): Registers =>
  new Map(
    rows.flatMap((names, row) =>
      names.map((name, half) => [name, { offset: REGISTER_BYTES * row, bytes: REGISTER_BYTES >> half }] as const),
    ),
  )

/** By processor, then by name. */
export const REGISTERS: Readonly<Record<'x64' | 'arm64', Registers>> = { x64: located(X64), arm64: located(ARM64) }

/** The name of a register of some processor; undefined after a problem. */
export function readRegister(fields: Fields): string | undefined {
  const place = fields.needText('resolve', 'the name of a register, such as rdi or x0')
  if (fields.get('btfType') !== undefined) {
    fields.warn('btfType', 'has no effect on a register; remove it')
  }
  if (place === undefined) return undefined
  const name = place.text
  const known = Object.values(REGISTERS)
  if (known.some((registers) => registers.has(name))) return name
  const hint = didYouMean(
    name,
    known.flatMap((registers) => [...registers.keys()]),
  )
  const expected = hint === '' ? '; expected one of x86-64, such as rdi or eax, or of arm64, such as x0 or w1' : hint
  return place.refuse(`unknown register ${show(name)}${expected}`)
}
