/** A /proc written by a test. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Fake {
  readonly pid: number
  readonly parent?: number
  readonly name?: string
  readonly state?: string
  readonly threads?: number
  readonly kernel?: boolean
  readonly ticks?: bigint
  /** undefined: no such link, as for a kernel thread. */
  readonly exe?: string | undefined
  readonly cwd?: string | undefined
  readonly cmdline?: string | Buffer
  readonly cgroup?: string
  readonly nspid?: string
  readonly uid?: string
  readonly loginuid?: string | undefined
}

export function statOf({
  pid,
  parent = 0,
  name = 'x',
  state = 'S',
  threads = 1,
  kernel = false,
  ticks = 100n,
}: Fake): string {
  const flags = kernel ? 0x0020_8040 : 0x0040_0100
  const fields = [state, parent, pid, pid, 0, -1, flags, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, threads, 0, ticks, 0, 0]
  return `${pid} (${name}) ${fields.join(' ')}\n`
}

export function write(procfs: string, fake: Fake): void {
  const folder = join(procfs, String(fake.pid))
  const { exe = '/bin/x', cwd = '/', cmdline = 'x\0', cgroup = '0::/\n', uid = '0\t0\t0\t0' } = fake
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'stat'), statOf(fake))
  const escaped = (fake.name ?? 'x').replaceAll('\n', '\\n')
  writeFileSync(
    join(folder, 'status'),
    `Name:\t${escaped}\nState:\tS\nUid:\t${uid}\nNSpid:\t${fake.nspid ?? fake.pid}\nThreads:\t1\n`,
  )
  writeFileSync(join(folder, 'cmdline'), cmdline)
  writeFileSync(join(folder, 'cgroup'), cgroup)
  if (!('loginuid' in fake) || fake.loginuid !== undefined) {
    writeFileSync(join(folder, 'loginuid'), fake.loginuid ?? '4294967295')
  }
  if (!('exe' in fake) || fake.exe !== undefined) symlinkSync(exe, join(folder, 'exe'))
  if (!('cwd' in fake) || fake.cwd !== undefined) symlinkSync(cwd, join(folder, 'cwd'))
}
