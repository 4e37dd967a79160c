/** Parts of random worlds and random policies. */
import { asBytes } from '../operators.ts'

/** Names that are alike: equal first 8 bytes, one the beginning of another, the longest, ones that look like a mark. */
export const NAMES: readonly string[] = [
  ...'a b ab abc abd d dd eightle eightlen eightlem eightlenx eightleny passwd passwd.bak xpasswd ... -rf %41'.split(
    ' ',
  ),
  'twenty-bytes-of-name',
  'twenty-bytes-of-namf',
  'with space',
  ' lead',
  'looks (deleted)',
  'x (d',
  'new\nline',
  'back\\slash',
  '"q"',
  'a\xff',
  '\xff\xfe',
  asBytes('ü'),
  asBytes('€uro'),
  'n'.repeat(255),
  `${'n'.repeat(254)}m`,
  'm'.repeat(200),
  ...[15, 16, 17, 31, 32, 33, 63, 64, 65].map((length) => 'k'.repeat(length)),
  ...[15, 31, 32, 63, 64].map((length) => `${'k'.repeat(length)}q`),
]

/** Registers: around the ends of the widths, and where a set of bits might end. */
export const NUMBERS: readonly bigint[] = [
  ...'0 1 2 3 4 5 6 8 63 64 65 127 128 255 256 65535 65536 -1 -2 -100 -128'.split(' ').map(BigInt),
  2n ** 31n - 1n,
  2n ** 31n,
  -(2n ** 31n),
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 53n + 1n,
  2n ** 63n - 1n,
  -(2n ** 63n),
]

/** Capabilities that the calls do without. */
export const DROPPED = 'CAP_CHOWN CAP_KILL CAP_NET_RAW CAP_SYS_TIME CAP_LEASE CAP_AUDIT_READ'.split(' ')

/** Kinds of namespaces that a process may leave, with the flag of unshare. */
export const NAMESPACE_FLAGS: Readonly<Record<string, number>> = {
  Uts: 0x0400_0000,
  Ipc: 0x0800_0000,
  Cgroup: 0x0200_0000,
  Mnt: 0x0002_0000,
  Pid: 0x2000_0000,
}

/** include/uapi/asm-generic/fcntl.h */
export const AT_FDCWD = -100n
export const O_RDWR = 2
export const O_CREAT = 0o100
