/** The audit system of the kernel, with its daemon. */
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { freshFolder } from '../../e2e/support/agent.ts'
import { LineFile } from '../../e2e/support/line-file.ts'
import { until } from '../../e2e/support/wait.ts'
import type { Report } from '../judge.ts'
import { Program, output } from './tool.ts'
import type { Tool } from './tool.ts'

const KEY = 'watched'
/** System calls with the name of a file, and changes by a descriptor. Records of read(2) and write(2) name no file. */
const CALLS = [
  'open,openat,openat2,open_by_handle_at,creat,truncate,ftruncate,fallocate,execve,execveat',
  'link,linkat,symlink,symlinkat,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat,rmdir,mknod,mknodat,bind',
  'chmod,fchmod,fchmodat,chown,fchown,lchown,fchownat,utimensat,mount,move_mount',
  'setxattr,lsetxattr,fsetxattr,removexattr,lremovexattr,fremovexattr',
].join(',')

/** `name="a b"`, or the bytes in hexadecimal. */
function field(line: string, name: string): string | undefined {
  const [, quoted, plain] = new RegExp(` ${name}=(?:"([^"]*)"|(\\S+))`).exec(line) ?? []
  if (quoted !== undefined || plain === undefined) return quoted
  return /^(?:[\dA-F]{2})+$/.test(plain) && name !== 'pid' && name !== 'uid' && name !== 'inode'
    ? Buffer.from(plain, 'hex').toString()
    : plain
}

/** The reports in a log; `inodes`: those of watched files before the access of a process, as `pid:dev:inode`. A number is used again. */
export function reportsIn(lines: readonly string[], inodes: ReadonlySet<string>): Report[] {
  const events = Map.groupBy(lines, (line) => /msg=audit\([\d.]+:(\d+)\)/.exec(line)?.[1] ?? '')
  return [...events.values()].flatMap((records): Report[] => {
    const call = records.find((line) => /^type=(?:SYSCALL|URINGOP) /.test(line))
    if (call === undefined) return []
    const cwd = field(records.find((line) => line.startsWith('type=CWD ')) ?? '', 'cwd') ?? '/'
    const items = records.filter((line) => line.startsWith('type=PATH '))
    const paths = items.flatMap((line) => field(line, 'name') ?? []).filter((name) => name !== '(null)')
    const pid = Number(field(call, 'pid'))
    const isInode = items.some((line) => inodes.has(`${pid}:${/ dev=(\S+)/.exec(line)?.[1]}:${field(line, 'inode')}`))
    return [
      {
        pid,
        uid: Number(field(call, 'uid')),
        program: field(call, 'exe') ?? '',
        paths: paths.map((path) => resolve(cwd, path)),
        isWatched: field(call, 'key') === KEY || isInode,
      },
    ]
  })
}

const hex = (number: number): string => number.toString(16).padStart(2, '0')

/** The device and inode of a file, as audit records have them. */
function inodeOf(path: string): string {
  const { dev, ino } = statSync(path)
  return `${hex((dev >> 8) & 0xf_ff)}:${hex(dev & 0xff)}:${ino}`
}

const auditd = (name: string, rules: readonly string[]): Tool => ({
  name,
  package: 'auditd',
  settings: ['-b 8192', ...rules].map((rule) => `\`${rule}\``).join(', '),
  async start({ watched }) {
    const folder = freshFolder('auditd')
    const log = new LineFile(join(folder, 'log'))
    mkdirSync('/var/log/audit', { recursive: true })
    writeFileSync(
      join(folder, 'auditd.conf'),
      readFileSync('/etc/audit/auditd.conf', 'utf8')
        .replace(/^log_file = .*$/m, `log_file = ${log.path}`)
        .replace(/^max_log_file = .*$/m, 'max_log_file = 512')
        .replace(/^log_format = .*$/m, 'log_format = RAW'),
    )
    const begin = async (): Promise<Program> => {
      const begun = new Program(['auditd', '-n', '-c', folder])
      await begun.until('its start', () => output('auditctl', '-s').includes(`pid ${begun.pid}\n`))
      return begun
    }
    let program = await begin()
    output('auditctl', '-D')
    output('auditctl', '-b', '8192')
    for (const rule of rules) output('auditctl', ...rule.replaceAll('WATCHED', watched).split(' '))
    const inodes = new Set<string>()
    let marks = 0
    return {
      begins(done) {
        for (const each of readdirSync(done.folder, { recursive: true, encoding: 'utf8' })) {
          const path = join(done.folder, each)
          // A symbolic link may lead nowhere.
          if (statSync(path, { throwIfNoEntry: false }) !== undefined) inodes.add(`${done.pid}:${inodeOf(path)}`)
        }
      },
      async reports() {
        const mark = `mark-${marks++}.`
        output('auditctl', '-m', mark)
        await until('the mark in the log', () => log.read().some((line) => line.includes(mark)))
        return reportsIn(log.read(), inodes)
      },
      async killed(gap) {
        await program.end('SIGKILL')
        gap()
        program = await begin()
        return {
          again: 'systemd (`Restart=on-failure`)',
          says() {
            const [starts, ends] = ['START', 'END'].map(
              (what) => log.read().filter((line) => line.startsWith(`type=DAEMON_${what} `)).length,
            )
            const [, lost] = /^lost (\d+)$/m.exec(output('auditctl', '-s')) ?? []
            return `${starts} records \`DAEMON_START\`, ${ends} \`DAEMON_END\`; the kernel counts ${lost} lost records`
          },
        }
      },
      async [Symbol.asyncDispose]() {
        output('auditctl', '-D')
        await program[Symbol.asyncDispose]()
      },
    }
  },
})

export const AUDIT_WATCH: Tool = auditd('auditd -w', [`-w WATCHED -p rwxa -k ${KEY}`])
export const AUDIT_CALLS: Tool = auditd('auditd -S', [`-a always,exit -F arch=b64 -S ${CALLS} -F key=files`])
