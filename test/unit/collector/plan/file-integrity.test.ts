/** config/policies/optional/file-integrity.yaml fits the functions of each kernel, and hooks one of each group. Prototypes are from the kernels' BTF. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { planPolicy } from '../../../../collector/plan/plan.ts'
import { parsePolicy } from '../../../../config/policy/parse.ts'
import type { KernelFunction, KernelMember } from '../../../../native/types.ts'
import { kernel } from '../support/facts.ts'

const FILE = fileURLToPath(new URL('../../../../config/policies/optional/file-integrity.yaml', import.meta.url))

/** `ID`: the type that became struct mnt_idmap in 6.3. A function returns int unless a type stands before the colon. */
const ALL = `security_file_permission: file *, int
security_mmap_file: file *, ulong, ulong
security_file_mprotect: vm_area_struct *, ulong, ulong
security_bprm_check: linux_binprm *
may_open: ID, path *, int, int
security_file_open: file *
vfs_truncate long: path *, longlong
security_path_truncate: path *
security_path_mknod: path *, dentry *, ushort, uint
security_inode_create: inode *, dentry *, ushort
security_path_mkdir: path *, dentry *, ushort
security_inode_mkdir: inode *, dentry *, ushort
vfs_symlink: ID, inode *, dentry *, char *
vfs_tmpfile: ID, path *, file *, ushort
vfs_link: dentry *, ID, inode *, dentry *, inode **
vfs_unlink: ID, inode *, dentry *, inode **
vfs_rmdir: ID, inode *, dentry *
security_path_rename: path *, dentry *, path *, dentry *, uint
security_inode_rename: inode *, dentry *, inode *, dentry *, uint
vfs_rename: renamedata *
chmod_common: path *, ushort
chown_common: path *, uint, uint
vfs_utimes: path *, timespec64 *
vfs_fileattr_set: ID, dentry *, fileattr *
vfs_setxattr: ID, dentry *, char *, void *, ulong
vfs_removexattr: ID, dentry *, char *
path_mount: char *, path *, char *, ulong, void *
security_move_mount: path *, path *`
const SINCE_6_2 = `
security_file_truncate: file *
vfs_set_acl: ID, dentry *, char *, posix_acl *
vfs_remove_acl: ID, dentry *, char *`

const pointer = (offset: number, to: string): KernelMember => ({
  offsets: [offset],
  base: `struct ${to} *`,
  sizeBytes: 8,
  signed: false,
  bit: 0,
  bits: 0,
  problem: '',
})
const MEMBERS: ReadonlyMap<string, KernelMember> = new Map([
  ['vm_area_struct vm_file', pointer(160, 'file')],
  ['renamedata old_dentry', pointer(16, 'dentry')],
  ['renamedata new_dentry', pointer(40, 'dentry')],
])

const INTEGERS: Readonly<Record<string, string>> = {
  ushort: 'unsigned short',
  uint: 'unsigned int',
  ulong: 'unsigned long',
  longlong: 'long long',
}

function typeOf(text: string): string {
  const word = text.replace(/ \*+$/, '')
  if (text === word) return INTEGERS[text] ?? (text === 'ID' ? 'struct mnt_idmap *' : text)
  return word === 'char' || word === 'void' ? text : `struct ${text}`
}

function functionsOf(prototypes: string): ReadonlyMap<string, KernelFunction> {
  return new Map(
    prototypes.split('\n').map((line) => {
      const [head = '', params = ''] = line.split(': ')
      const [name = '', returns = 'int'] = head.split(' ')
      const types = params.split(', ').map(typeOf)
      const paramsOf = types.map((type) => ({ name: '', type, base: type, sizeBytes: 8 }))
      return [name, { returns, returnsBase: returns, params: paramsOf }]
    }),
  )
}

for (const { version, there, unused } of [
  {
    version: [6, 1],
    there: ALL,
    unused: ['security_file_open', 'security_inode_create', 'security_inode_mkdir', 'security_inode_rename'],
  },
  {
    version: [6, 12],
    there: ALL + SINCE_6_2,
    unused: [
      'security_file_open',
      'security_path_truncate',
      'security_inode_create',
      'security_inode_mkdir',
      'security_inode_rename',
    ],
  },
] as const) {
  test(`file-integrity: on ${version.join('.')} each function fits, and of a group only the best is hooked`, () => {
    const parsed = parsePolicy(readFileSync(FILE, 'utf8'), 'file-integrity.yaml')
    if ('problems' in parsed) assert.fail(JSON.stringify(parsed.problems))
    const functions = functionsOf(there)
    let id = 0
    const { hooks, lacking } = planPolicy(
      parsed.policy,
      kernel(version[0], version[1]),
      {
        functionType: (name) => functions.get(name),
        functionNames: () => [...functions.keys()],
        tracepoints: { format: () => undefined, names: () => [] },
        generated: () => [],
        loadOf: () => '',
        memberOf: (path) => MEMBERS.get(path),
      },
      'auto',
      () => ++id,
    )
    assert.deepEqual(lacking, [])
    const hooked = new Set(hooks.map(({ symbol }) => symbol))
    assert.deepEqual([...functions.keys()].filter((name) => !hooked.has(name)).toSorted(), unused.toSorted())
    const modes = new Map(hooks.map(({ symbol, way }) => [symbol, way.mode]))
    assert.deepEqual(
      [modes.get('vfs_unlink'), modes.get('vfs_rmdir'), modes.get('vfs_rename')],
      ['fentry', 'fentry', 'fentry'],
    )
  })
}
