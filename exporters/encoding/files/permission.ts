/** Type letters by the top four bits of i_mode. */
const TYPES: Readonly<Record<number, string>> = {
  0x1000: 'p',
  0x2000: 'c',
  0x4000: 'd',
  0x6000: 'b',
  0x8000: '-',
  0xa000: 'l',
  0xc000: 's',
}
const SET_UID = 0o4000
const SET_GID = 0o2000
const STICKY = 0o1000

/**
 * An inode's mode as `ls -l` prints it: type letter (none when the type bits are 0), then three triples with
 * s/S for set-id and t/T for sticky. A zero mode gives `---------`.
 */
export function permission(mode: number): string {
  const type = TYPES[mode & 0xf000] ?? ''
  const owner = triple(mode >> 6, (mode & SET_UID) !== 0, 's')
  const group = triple(mode >> 3, (mode & SET_GID) !== 0, 's')
  return type + owner + group + triple(mode, (mode & STICKY) !== 0, 't')
}

function triple(bits: number, special: boolean, letter: string): string {
  const execute = (bits & 1) !== 0
  const last = special ? (execute ? letter : letter.toUpperCase()) : execute ? 'x' : '-'
  return (bits & 4 ? 'r' : '-') + (bits & 2 ? 'w' : '-') + last
}
