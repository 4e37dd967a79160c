/**
 * Argument types that are shown as some members of a kernel struct. A row here and one in ../arguments.ts is all that such a type needs: the kernel
 * side finds the members by the running kernel's BTF. Keys are Tetragon's.
 */

/**
 * How a member is shown. `value`: a number that is shown also as 0 (a wrapper in protobuf); `number`: left out when 0; `wide`: 64 bits, as text;
 * `initial`: true for level 0, else left out. The others are names: of one number, or of each bit that is set.
 */
export type Show =
  | 'value'
  | 'number'
  | 'wide'
  | 'text'
  | 'flag'
  | 'initial'
  | 'capabilities'
  | 'secureBits'
  | 'taints'
  | 'programType'
  | 'mapType'
  | 'perfType'

export interface ObjectMember {
  /** Key in the record; `a.b` is `b` in an object `a`. */
  readonly key: string
  /** From the struct on, such as `user_ns.ns.inum`; pointers are followed. */
  readonly path: string
  readonly show: Show
  /** For a text: the maximum number of bytes that are read. */
  readonly textBytes?: number
  /** The member is the address of a text in the caller's memory. */
  readonly user?: true
}

export interface ObjectShape {
  /** Struct or union. */
  readonly struct: string
  readonly members: readonly ObjectMember[]
  /** Keys whose values are the text for people, in this order. */
  readonly text: readonly string[]
}

const member = (key: string, path: string, show: Show): ObjectMember => ({ key, path, show })
const text = (key: string, path: string, textBytes: number): ObjectMember => ({ key, path, show: 'text', textBytes })

const userNamespace = (key: string, path: string): ObjectMember[] => [
  member(`${key}level`, `${path}level`, 'value'),
  member(`${key}uid`, `${path}owner.val`, 'value'),
  member(`${key}gid`, `${path}group.val`, 'value'),
  member(`${key}ns.inum`, `${path}ns.inum`, 'number'),
  member(`${key}ns.is_host`, `${path}level`, 'initial'),
]

export const CRED: ObjectShape = {
  struct: 'cred',
  members: [
    ...'uid gid euid egid suid sgid fsuid fsgid'.split(' ').map((name) => member(name, `${name}.val`, 'value')),
    member('securebits', 'securebits', 'secureBits'),
    ...'permitted effective inheritable'
      .split(' ')
      .map((name) => member(`caps.${name}`, `cap_${name}`, 'capabilities')),
    ...userNamespace('user_ns.', 'user_ns.'),
  ],
  text: ['uid', 'euid'],
}

export const USER_NAMESPACE: ObjectShape = {
  struct: 'user_namespace',
  members: userNamespace('', ''),
  text: ['level', 'ns.inum'],
}

/** MODULE_NAME_LEN on 64 bits. */
const MODULE_NAME_BYTES = 56
export const MODULE: ObjectShape = {
  struct: 'module',
  members: [text('name', 'name', MODULE_NAME_BYTES), member('tainted', 'taints', 'taints')],
  text: ['name'],
}

export const LOAD_INFO: ObjectShape = {
  struct: 'load_info',
  members: [
    text('name', 'name', MODULE_NAME_BYTES),
    member('signature_ok', 'sig_ok', 'flag'),
    member('tainted', 'mod.taints', 'taints'),
  ],
  text: ['name'],
}

/** BPF_OBJ_NAME_LEN */
const BPF_NAME_BYTES = 16
export const BPF_ATTR: ObjectShape = {
  struct: 'bpf_attr',
  members: [
    member('ProgType', 'prog_type', 'programType'),
    member('InsnCnt', 'insn_cnt', 'number'),
    text('ProgName', 'prog_name', BPF_NAME_BYTES),
  ],
  text: ['ProgType', 'ProgName'],
}

export const BPF_PROG: ObjectShape = {
  struct: 'bpf_prog',
  members: [
    member('ProgType', 'type', 'programType'),
    member('InsnCnt', 'len', 'number'),
    text('ProgName', 'aux.name', BPF_NAME_BYTES),
  ],
  text: ['ProgType', 'ProgName'],
}

export const BPF_MAP: ObjectShape = {
  struct: 'bpf_map',
  members: [
    member('MapType', 'map_type', 'mapType'),
    member('KeySize', 'key_size', 'number'),
    member('ValueSize', 'value_size', 'number'),
    member('MaxEntries', 'max_entries', 'number'),
    text('MapName', 'name', BPF_NAME_BYTES),
  ],
  text: ['MapType', 'MapName'],
}

/** KSYM_NAME_LEN was 128 until 6.0. */
const FUNCTION_NAME_BYTES = 128
export const PERF_EVENT: ObjectShape = {
  struct: 'perf_event',
  members: [
    { ...text('KprobeFunc', 'attr.kprobe_func', FUNCTION_NAME_BYTES), user: true },
    member('Type', 'attr.type', 'perfType'),
    member('Config', 'attr.config', 'wide'),
    member('ProbeOffset', 'attr.probe_offset', 'wide'),
  ],
  text: ['Type', 'KprobeFunc'],
}
