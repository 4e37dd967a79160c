/** Policies that are refused, each with its message. */
import { fileHook, path, policy } from '../../e2e/support/policy.ts'

export const GOOD: string = policy('good', [fileHook([path('Prefix', '/tmp/nobody-reads-this/')])])

/** The good hook with other keys. */
export const hook = (keys: Readonly<Record<string, unknown>>): string =>
  policy('bad', [{ ...fileHook([path('Prefix', '/etc/')]), ...keys }])

/** The good hook on another function, without selectors. */
const plain = (call: string, args: readonly object[], keys: Readonly<Record<string, unknown>> = {}): string =>
  policy('bad', [{ call, syscall: false, return: false, args, ...keys }])

const GARBAGE = Buffer.from(Array.from({ length: 1 << 20 }, (_, i) => (i * 7919 + (i >> 9)) & 0xff))

export interface BadPolicy {
  readonly name: string
  readonly text: string | Buffer
  readonly message: RegExp
}

/** Each is refused with its position, on every kernel. */
export const BAD_POLICIES: readonly BadPolicy[] = [
  { name: 'an empty file', text: '', message: /p\.yaml:1:1: .*empty/ },
  {
    name: 'tabs',
    text: GOOD.replace(/^ /gm, '\t').replace('{', 'apiVersion:\n\tx: {'),
    message: /p\.yaml:\d+:\d+: .*[Tt]ab/,
  },
  { name: 'two documents', text: `${GOOD}---\n${GOOD}`, message: /p\.yaml:\d+:\d+: .*document/ },
  { name: '1 MB of garbage', text: GARBAGE, message: /p\.yaml:1:\d+: byte 0x[0-9A-F]{2} at offset \d+ is not UTF-8/ },
  { name: '1 MB of brackets', text: '['.repeat(1 << 20), message: /p\.yaml:1:\d+: / },
  {
    name: 'an unknown key',
    text: hook({ retrun: true }),
    message: /p\.yaml:\d+:\d+: .*unknown key "retrun" \(did you mean "return"\?\)/,
  },
  {
    name: 'an unknown function with a similar name',
    text: hook({ call: 'security_file_permision' }),
    message: /p\.yaml:\d+:\d+: no kernel function "security_file_permision": did you mean security_file_permission\?/,
  },
  {
    name: 'an unknown function without a similar name',
    text: hook({ call: 'zzyzx_plugh_xyzzy_frobnicate' }),
    message: /no kernel function "zzyzx_plugh_xyzzy_frobnicate": see \/proc\/kallsyms/,
  },
  {
    name: 'an unknown system call',
    text: policy('bad', [{ call: 'sys_opeenat', syscall: true, args: [{ index: 1, type: 'string' }] }]),
    message: /no kernel function "sys_opeenat" \(searched for __\w+_sys_opeenat; .*\): did you mean sys_openat\?/,
  },
  {
    name: 'an argument of another type than the kernel has',
    text: hook({ args: [{ index: 0, type: 'int' }], selectors: [] }),
    message:
      /p\.yaml:\d+:\d+: argument 0 of security_file_permission: type "int" does not fit, the kernel's is "struct file \*"/,
  },
  {
    name: 'a number read as a file',
    text: plain('security_file_permission', [{ index: 1, type: 'file' }]),
    message: /argument 1 of security_file_permission: type "file" does not fit, the kernel's is "int"/,
  },
  {
    name: 'an argument beyond the prototype',
    text: plain('security_file_permission', [{ index: 2, type: 'int' }]),
    message: /argument index 2 of security_file_permission: expected 0 to 1, because the function has 2 arguments/,
  },
  {
    name: 'an argument of a function without arguments',
    text: plain('schedule', [{ index: 0, type: 'int' }]),
    message: /argument index 0 of schedule: /,
  },
  {
    name: 'a return value of another type',
    text: hook({ returnArg: { index: 0, type: 'file' } }),
    message: /return value of security_file_permission: type "file" does not fit, the kernel's is "int"|returnArg/,
  },
  {
    name: 'a return value of a function that returns nothing',
    text: plain('security_inode_free', [], { return: true, returnArg: { index: 0, type: 'int' } }),
    message: /return value of security_inode_free: type "int" does not fit, the kernel's is "void"/,
  },
  {
    name: 'a bad hook after a good one: no hook of the policy is attached',
    text: policy('bad', [
      fileHook([path('Prefix', '/etc/')]),
      { call: 'security_path_trunkate', syscall: false, args: [{ index: 0, type: 'path' }] },
    ]),
    message: /no kernel function "security_path_trunkate": did you mean security_path_truncate\?/,
  },
  {
    name: 'a function that cannot be traced, after a good hook',
    text: policy('bad', [
      fileHook([path('Prefix', '/etc/')]),
      { call: 'notrace_is_no_function', syscall: false, args: [] },
    ]),
    message: /p\.yaml:\d+:\d+: no kernel function "notrace_is_no_function"/,
  },
]
