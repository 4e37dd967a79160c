/**
 * Generates collector/wire/wire.ts from the types of bpf/layout.bpf.c. Run after any change of them: `make -C bpf`,
 * `node test/support/wire/write-wire.ts`, `npm run format`.
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { readBtf } from './btf.ts'
import type { Btf } from './btf.ts'
import { builtFile } from '../../../native/index.ts'

const HEADER = `/**
 * The contract with the kernel side, made by write-wire.ts from bpf/layout.bpf.c: do not edit.
 * A struct is the offsets of its members in bytes, and its size as \`bytes\`. Constants of an enum have their C names, except where they
 * are looked up by name.
 */
`

/** Enums with look-ups by name: their names here, and the conversion of their constants' names. */
const TABLES: ReadonlyMap<string, readonly [name: string, prefix: string, spell: (words: string) => string]> = new Map([
  ['arg_type', ['ARG_TYPES', 'ARG_', camel]],
  ['filter_class', ['CLASSES', 'CLASS_', camel]],
  ['task_namespace', ['NAMESPACES', 'NAMESPACE_', camel]],
  ['task_capabilities', ['CAPABILITY_SETS', 'CAPABILITIES_', camel]],
  ['socket_member', ['SOCKET_MEMBERS', 'MEMBER_', camel]],
  ['field_kind', ['FIELDS', 'FIELD_', camel]],
  ['repeat_scope', ['SCOPES', 'SCOPE_', camel]],
  ['filter_op', ['OPS', 'OP_', (words: string) => capital(camel(words))]],
])

/** The exports of wire.ts by name, in order. */
export function wireConstants(btf: Btf): Map<string, unknown> {
  const found = new Map<string, unknown>()
  for (const [name, { sizeBytes, members }] of btf.structs) {
    const offsets = [...members].filter(([member]) => member !== 'reserved')
    found.set(name.toUpperCase(), {
      ...Object.fromEntries(offsets.map(([member, { offset }]) => [camel(member), offset])),
      bytes: sizeBytes,
    })
  }
  for (const [name, constants] of btf.enums) {
    const table = TABLES.get(name)
    if (table !== undefined) {
      const [to, prefix, spell] = table
      const entries = [...constants].map(([key, value]) => [spell(key.slice(prefix.length)), value])
      found.set(to, Object.fromEntries(entries))
    } else if (name === 'counter') {
      // Numbered from 0; the last one is the count.
      found.set(
        'COUNTERS',
        [...constants.keys()].slice(0, -1).map((key) => key.replace('COUNTER_', '').toLowerCase()),
      )
    } else {
      for (const [key, value] of constants) found.set(key, value)
    }
  }
  return found
}

/** `NOT_EQUAL` → `notEqual` */
function camel(words: string): string {
  return words.toLowerCase().replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase())
}

function capital(word: string): string {
  return word.slice(0, 1).toUpperCase() + word.slice(1)
}

if (import.meta.main) {
  const lines = [...wireConstants(readBtf(builtFile('layout.bpf.o')))].map(
    ([name, value]) =>
      `export const ${name} = ${JSON.stringify(value)}${typeof value === 'object' ? ' as const' : ''}\n`,
  )
  writeFileSync(fileURLToPath(new URL('../../../collector/wire/wire.ts', import.meta.url)), HEADER + lines.join(''))
}
