import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Argument, Hook } from '../../../../../exporters/contract/event.ts'
import { accessPlan, fileAccess, isRefused } from '../../../../../exporters/encoding/files/access.ts'
import { file, int, long, makeHook, size, text, uint, unread } from '../../support/events.ts'

const hook = (functionName: string, indexes: readonly number[] = [0, 1, 2]): Hook => makeHook({ functionName, indexes })
const lsm = (functionName: string, indexes: readonly number[] = [0, 1, 2, 3]): Hook =>
  makeHook({ type: 'process_lsm', functionName, indexes })
const passwd = file('/etc/passwd')

const ACCESSES: ReadonlyArray<readonly [what: string, Hook, args: readonly Argument[], want: string | undefined]> = [
  ['MAY_READ', hook('security_file_permission'), [passwd, int(4)], 'read'],
  ['MAY_WRITE', hook('security_file_permission'), [passwd, int(2)], 'write'],
  ['MAY_WRITE with MAY_APPEND', hook('security_file_permission'), [passwd, int(10)], 'write'],
  ['both, which no kernel passes', hook('security_file_permission'), [passwd, int(6)], undefined],
  ['MAY_EXEC', hook('security_file_permission'), [passwd, int(1)], undefined],
  ['a mask that could not be read', hook('security_file_permission'), [passwd, unread('x')], undefined],
  ['a policy that does not show the mask', hook('security_file_permission', [0]), [passwd], undefined],
  ['a mask before the file', hook('security_file_permission', [1, 0]), [int(4), passwd], 'read'],
  ['PROT_READ', hook('security_mmap_file', [0, 1]), [passwd, uint(1)], 'map_read'],
  ['PROT_READ and PROT_WRITE', hook('security_mmap_file', [0, 1]), [passwd, uint(3)], 'map_write'],
  ['PROT_READ and PROT_EXEC', hook('security_mmap_file', [0, 1]), [passwd, size(5n)], 'map_exec'],
  ['PROT_NONE', hook('security_mmap_file', [0, 1]), [passwd, uint(0)], undefined],
  ['a writable private mapping', hook('security_mmap_file'), [passwd, uint(3), uint(2)], 'map_read'],
  ['a writable private mapping of code', hook('security_mmap_file'), [passwd, uint(7), uint(2)], 'map_exec'],
  ['a write-only private mapping', hook('security_mmap_file'), [passwd, uint(2), uint(2)], 'map_read'],
  ['a writable shared mapping', hook('security_mmap_file'), [passwd, uint(3), uint(1)], 'map_write'],
  ['MAP_SHARED_VALIDATE', hook('security_mmap_file'), [passwd, uint(3), uint(3)], 'map_write'],
  ['an opening, by an LSM program', lsm('file_open'), [passwd], 'open'],
  ['a reading, by an LSM program', lsm('file_permission'), [passwd, int(4)], 'read'],
  ['an execution, by an LSM program', lsm('bprm_check_security'), [passwd], 'execute'],
  ['a writable mapping, by an LSM program', lsm('mmap_file'), [passwd, size(2n), size(2n), size(1n)], 'map_write'],
  ['a private mapping, by an LSM program', lsm('mmap_file'), [passwd, size(3n), size(3n), size(2n)], 'map_read'],
  ['truncate', hook('security_path_truncate', [0]), [passwd], 'truncate'],
  ['a system call of x86', hook('__x64_sys_unlinkat'), [int(3), text('x')], 'unlink'],
  ['a system call of arm64', hook('__arm64_sys_renameat2'), [int(3), text('x')], 'rename'],
  ['a system call of 32-bit programs', hook('__ia32_sys_chmod'), [text('x')], 'chmod'],
  ['an opening', hook('may_open'), [passwd, int(4), int(0)], 'open'],
  ['a mapping made writable', hook('security_file_mprotect', [0, 1]), [passwd, size(3n)], 'map_write'],
  ['a mapping made executable', hook('security_file_mprotect', [0, 1, 2]), [passwd, size(5n), size(2n)], 'map_exec'],
  ['an ACL', hook('vfs_set_acl'), [passwd, text('x')], 'setacl'],
  ['an attribute', hook('vfs_removexattr'), [passwd, text('x')], 'setxattr'],
  ['flags', hook('vfs_fileattr_set', [1]), [passwd], 'setattr'],
  ['a file without a name', hook('vfs_tmpfile', [1]), [passwd], 'create'],
  ['a mount', hook('path_mount', [1, 0]), [passwd, text('x')], 'mount'],
  ['an opening by a path', hook('do_sys_openat2', [1]), [text('/etc/passwd')], 'open'],
  ['an opening by a system call', hook('__x64_sys_openat', [1]), [text('/etc/passwd')], 'open'],
  ['a function without a file', hook('do_exit'), [long(0n)], undefined],
  ['a name of every object', hook('constructor'), [], undefined],
]
for (const [what, of, args, want] of ACCESSES) {
  test(`otlp: the access of ${what} (${of.functionName}) is ${want}`, () =>
    assert.equal(fileAccess(accessPlan(of), args), want))
}

const DENIALS: ReadonlyArray<readonly [what: string, Hook, returned: Argument | undefined, want: boolean]> = [
  ['a security hook that returns 0', hook('security_file_permission'), int(0), false],
  ['a security hook that returns EACCES', hook('security_file_permission'), int(-13), true],
  ['a security hook that returns any other error', hook('security_file_permission'), int(-95), true],
  ['a return value that the policy does not ask for', hook('security_file_permission'), undefined, false],
  ['a return value that was not seen', hook('security_file_permission'), unread('missed'), false],
  ['a function that fails for another reason', hook('vfs_read'), long(-11n), false],
  ['a function that returns EPERM', hook('__x64_sys_unlinkat'), int(-1), true],
  ['a function that returns EACCES in 64 bits', hook('vfs_write'), long(-13n), true],
  ['a number of bytes', hook('vfs_read'), long(4096n), false],
]
for (const [what, of, returned, want] of DENIALS) {
  test(`otlp: ${what} is ${want ? '' : 'not '}denied`, () =>
    assert.equal(isRefused(accessPlan(of), 'read', [], returned), want))
}
