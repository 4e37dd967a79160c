/**
 * The argument types of policies, one row each. The row determines the accepted operators and values, how the kernel side reads the argument,
 * and its form in records. Names and keys of records are Tetragon's.
 */

import { meant } from '../yaml/suggest.ts'
import { BPF_ATTR, BPF_MAP, BPF_PROG, CRED, LOAD_INFO, MODULE, PERF_EVENT, USER_NAMESPACE } from './types/objects.ts'
import type { ObjectShape } from './types/objects.ts'

/** Class of filters for an argument: operators.ts lists its operators, bpf/match/ implements them. */
export type FilterClass = 'none' | 'number' | 'text' | 'path' | 'sock' | 'skb' | 'sockaddr' | 'unix'

/** The form in records: a `kind` of `Argument` in exporters/contract/event.ts. `wide`: an integer of 64 bits. */
export type ArgumentKind = 'none' | 'file' | 'string' | 'number' | 'wide' | 'struct' | 'bytes'

/** A number with a name: `capability` shows both, the others only the name. */
export type Named = 'capability' | 'capabilitySet' | 'bpfCommand'

type Sign = 's' | 'u'
type Bits = 8 | 16 | 32 | 64

export interface NumberRange {
  readonly min: bigint
  readonly max: bigint
  /** For messages, such as `a signed 32-bit`. */
  readonly words: string
}

interface TypeBase {
  /** The name in policies. */
  readonly name: string
  /** How the kernel side reads it: `enum arg_type` of bpf/frame/filter.h without its prefix. */
  readonly read:
    | 'nop'
    | 'file'
    | 'path'
    | 'fd'
    | 'dentry'
    | 'kiocb'
    | 'binprm'
    | 'string'
    | 'filename'
    | 'sock'
    | 'socket'
    | 'skb'
    | 'sockaddr'
    | 'sockaddrUn'
    | 'netDevice'
    | 'object'
    | 'charBuf'
    | 'charIovec'
    | 'iovIter'
    | `${Sign}${Bits}`
  readonly kind: ArgumentKind
  /** Key of the argument in records; '' for none. */
  readonly field: string
  /** C types of parameters, with typedefs resolved, that may be read as this type. */
  readonly parameter: RegExp
  readonly named?: Named
  /** Read `object`: the members that are shown. */
  readonly object?: ObjectShape
  /** The argument is a pointer to the value. */
  readonly pointed?: true
}

export interface NumberType extends TypeBase {
  readonly filter: 'number'
  /** Range of filter values. */
  readonly range: NumberRange
}

interface OtherType extends TypeBase {
  readonly filter: Exclude<FilterClass, 'number'>
}

export type ArgumentType = NumberType | OtherType

const pointer = (struct: string): RegExp => new RegExp(`^(?:const )?struct ${struct} \\*(?:const)?$`)
/** Any type but pointers, structs and floating point; an ellipsis is no parameter. */
const INTEGER = /^(?!(?:const )?(?:struct|union|void|float|double)\b)[^*.]+$/

function integer(name: string, sign: Sign, bits: Bits): NumberType {
  const signed = sign === 's'
  const wide = bits === 64
  const values = 1n << BigInt(bits)
  return {
    name,
    read: `${sign}${bits}`,
    filter: 'number',
    kind: wide ? 'wide' : 'number',
    field: signed ? (wide ? 'long_arg' : 'int_arg') : wide ? 'size_arg' : 'uint_arg',
    parameter: INTEGER,
    range: signed
      ? { min: -values / 2n, max: values / 2n - 1n, words: `a signed ${bits}-bit` }
      : { min: 0n, max: values - 1n, words: `an unsigned ${bits}-bit` },
  }
}

type Read = ArgumentType['read']

const file = (name: string, read: Read, field: string, parameter: RegExp): ArgumentType => ({
  name,
  read,
  filter: 'path',
  kind: 'file',
  field,
  parameter,
})

const string = (name: string, read: Read, parameter: RegExp): ArgumentType => ({
  name,
  read,
  filter: 'text',
  kind: 'string',
  field: 'string_arg',
  parameter,
})

const object = (name: string, field: string, shape: ObjectShape): ArgumentType => ({
  name,
  read: 'object',
  filter: 'none',
  kind: 'struct',
  field,
  parameter: new RegExp(`^(?:const )?(?:struct|union) ${shape.struct} \\*(?:const)?$`),
  object: shape,
})

const bytes = (name: string, read: 'charBuf' | 'charIovec' | 'iovIter', parameter: RegExp): ArgumentType => ({
  name,
  read,
  filter: 'text',
  kind: 'bytes',
  field: 'bytes_arg',
  parameter,
})

const capabilitySet = (name: string): NumberType => ({
  ...integer(name, 'u', 64),
  field: `${name}_arg`,
  // Anonymous since Linux 6.3.
  parameter: pointer('(?:kernel_cap_struct|\\(anonymous\\))'),
  named: 'capabilitySet',
  pointed: true,
})

/** Neither read nor reported: only keeps the position of its argument. */
export const NOP: ArgumentType = { name: 'nop', read: 'nop', filter: 'none', kind: 'none', field: '', parameter: /^/ }

/** In the order in which messages list them. */
export const TYPES: readonly ArgumentType[] = [
  file('file', 'file', 'file_arg', pointer('file')),
  file('path', 'path', 'path_arg', pointer('path')),
  // The file of a descriptor of the calling process, now.
  file('fd', 'fd', 'file_arg', INTEGER),
  // A dentry has no mount, so its path begins at the root of the file system.
  file('dentry', 'dentry', 'path_arg', pointer('dentry')),
  file('kiocb', 'kiocb', 'file_arg', pointer('kiocb')),
  file('linux_binprm', 'binprm', 'linux_binprm_arg', pointer('linux_binprm')),
  integer('int', 's', 32),
  integer('sint8', 's', 8),
  integer('int8', 's', 8),
  integer('uint8', 'u', 8),
  integer('sint16', 's', 16),
  integer('int16', 's', 16),
  integer('uint16', 'u', 16),
  integer('sint32', 's', 32),
  integer('int32', 's', 32),
  integer('uint32', 'u', 32),
  integer('sint64', 's', 64),
  integer('int64', 's', 64),
  integer('uint64', 'u', 64),
  integer('long', 's', 64),
  integer('ulong', 'u', 64),
  integer('size_t', 'u', 64),
  string('string', 'string', /^(?:const )?(?:unsigned |signed )?char \*(?:const)?$/),
  string('filename', 'filename', pointer('filename')),
  string('net_device', 'netDevice', pointer('net_device')),
  bytes('char_buf', 'charBuf', /^(?:const )?(?:(?:unsigned |signed )?char|void) \*(?:const)?$/),
  bytes('char_iovec', 'charIovec', pointer('iovec')),
  bytes('iov_iter', 'iovIter', pointer('iov_iter')),
  { name: 'sock', read: 'sock', filter: 'sock', kind: 'struct', field: 'sock_arg', parameter: pointer('sock') },
  { name: 'socket', read: 'socket', filter: 'sock', kind: 'struct', field: 'sock_arg', parameter: pointer('socket') },
  { name: 'skb', read: 'skb', filter: 'skb', kind: 'struct', field: 'skb_arg', parameter: pointer('sk_buff') },
  // sockaddr_unsized since 6.19.
  {
    name: 'sockaddr',
    read: 'sockaddr',
    filter: 'sockaddr',
    kind: 'struct',
    field: 'sockaddr_arg',
    parameter: pointer('sockaddr(?:_unsized)?'),
  },
  {
    name: 'sockaddr_un',
    read: 'sockaddrUn',
    filter: 'unix',
    kind: 'struct',
    field: 'sockaddrun_arg',
    parameter: pointer('sockaddr(?:_unsized|_un)?'),
  },
  object('cred', 'process_credentials_arg', CRED),
  object('user_namespace', 'user_ns_arg', USER_NAMESPACE),
  object('module', 'module_arg', MODULE),
  object('load_info', 'module_arg', LOAD_INFO),
  object('bpf_attr', 'bpf_attr_arg', BPF_ATTR),
  object('bpf_prog', 'bpf_prog_arg', BPF_PROG),
  object('bpf_map', 'bpf_map_arg', BPF_MAP),
  object('perf_event', 'perf_event_arg', PERF_EVENT),
  { ...integer('capability', 's', 32), field: 'capability_arg', named: 'capability' },
  { ...integer('bpf_cmd', 's', 32), field: 'bpf_cmd_arg', named: 'bpfCommand' },
  ...['kernel_cap_t', 'cap_inheritable', 'cap_permitted', 'cap_effective'].map(capabilitySet),
  NOP,
]

/** Number of a system call, in tracepoints; bit 31: of a 32-bit program. */
export const SYSCALL64: ArgumentType = { ...integer('syscall64', 'u', 64), kind: 'struct', field: 'syscall_id' }

/** A text that stands behind the fields of a tracepoint's event. */
const DATA_LOC = string('data_loc', 'string', /^__(?:data|rel)_loc char \[\]$/)

/** The type in the tracepoint's format, which the kernel side gets instead. */
export const AUTO: ArgumentType = { ...NOP, name: 'auto' }

/** Types for a tracepoint's fields and a raw one's arguments: not those that are found by members of structs, or have a length elsewhere. */
export const RAW_TYPES: readonly ArgumentType[] = [
  ...TYPES.filter(({ object: shape, pointed, kind }) => shape === undefined && pointed !== true && kind !== 'bytes'),
  SYSCALL64,
]
export const TRACEPOINT_TYPES: readonly ArgumentType[] = [...RAW_TYPES, DATA_LOC, AUTO]

/** Types that a return value may have. */
export const RETURN_TYPES: readonly ArgumentType[] = TYPES.filter(
  (type) => type.filter === 'number' && type.named === undefined,
)

/** In Tetragon's schema, but refused for kprobes by Tetragon, too. */
export const NEVER_KPROBE_TYPES: readonly string[] = ['auto', 'syscall64', 'data_loc']

const TETRAGON_TYPES = (
  'int sint8 int8 uint8 sint16 int16 uint16 uint32 sint32 int32 ulong uint64 size_t long sint64 int64 char_buf ' +
  'char_iovec skb sock sockaddr socket sockaddr_un string fd file filename path nop bpf_attr perf_event bpf_map ' +
  'user_namespace capability kiocb iov_iter cred const_buf load_info module kernel_cap_t cap_inheritable ' +
  'cap_permitted cap_effective linux_binprm data_loc net_device bpf_cmd dentry bpf_prog'
).split(' ')

/** Tetragon's types that this version does not support. */
export const LATER_TYPES: readonly string[] = TETRAGON_TYPES.filter(
  (name) => typeNamed(name) === undefined && !NEVER_KPROBE_TYPES.includes(name),
)

export function typeNamed(name: string): ArgumentType | undefined {
  return TYPES.find((type) => type.name === name)
}

/** Our type for a type of C, Go or Rust. */
export function meantType(text: string): string | undefined {
  return meant('argument type', text.replaceAll(/\b(?:const|struct)\b|\b__|\s/gi, ''))
}
