/** Tools that compare files with a list of their state: AIDE, Samhain, Tripwire. They name neither program nor user. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freshFolder } from '../../e2e/support/agent.ts'
import { until } from '../../e2e/support/wait.ts'
import type { Report } from '../judge.ts'
import type { Place, Running, Tool } from './tool.ts'

/** Within this time a tool has checked a few hundred files. */
const CHECK_MS = 300_000

/** Runs a check, whose exit code says what it found. */
function printed(program: string, ...words: readonly string[]): string {
  const { stdout, stderr, error } = spawnSync(program, words, {
    encoding: 'utf8',
    maxBuffer: 64 << 20,
    timeout: CHECK_MS,
  })
  if (error !== undefined) throw error
  return stdout + stderr
}

interface State {
  readonly baseline: () => void
  /** The command of a check, and the paths that its output names as changed, added or removed. */
  readonly check: readonly [program: string, ...words: string[]]
  readonly paths: (output: string) => readonly string[]
}

const state = (about: Pick<Tool, 'name' | 'package' | 'settings'>, make: (place: Place) => State): Tool => ({
  ...about,
  start(place): Promise<Running> {
    const { baseline, check, paths } = make(place)
    const [program, ...words] = check
    return Promise.resolve({
      baseline,
      reports: () => Promise.resolve(paths(printed(...check)).map((path): Report => ({ paths: [path] }))),
      async killed(gap) {
        const child = spawn(program, words, { stdio: 'ignore' })
        const ended = once(child, 'exit')
        await until('the check', () => readFileSync(`/proc/${child.pid}/comm`, 'utf8').trim() === program)
        child.kill('SIGKILL')
        await ended
        gap()
        return { again: 'its next check', says: () => 'nothing' }
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    })
  },
})

const AIDE_RULE = 'ftype+p+i+l+n+u+g+s+b+m+c+acl+xattrs+e2fsattrs+caps+sha256'

export const AIDE: Tool = state(
  { name: 'AIDE', package: 'aide', settings: `\`WATCHED ${AIDE_RULE}\`` },
  ({ watched }) => {
    const folder = freshFolder('aide')
    const [config, known, fresh] = ['aide.conf', 'known', 'fresh'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ]
    writeFileSync(
      config,
      `database_in=file:${known}\ndatabase_out=file:${fresh}\nreport_format=json\nreport_url=stdout\n${watched} ${AIDE_RULE}\n`,
    )
    return {
      baseline() {
        const text = printed('aide', `--config=${config}`, '--init')
        if (!existsSync(fresh)) throw new Error(`aide --init made no database; it printed:\n${text}`)
        renameSync(fresh, known)
      },
      check: ['aide', `--config=${config}`, '--check'],
      paths(text) {
        const { added = {}, removed = {}, changed = {} } = JSON.parse(text)
        return Object.keys({ ...added, ...removed, ...changed })
      },
    }
  },
)

const CONFIG = '/etc/samhain/samhainrc'
const KNOWN = '/var/lib/samhain/samhain_file'

export const SAMHAIN: Tool = state(
  { name: 'Samhain', package: 'samhain', settings: '`[ReadOnly]`, `dir = 99WATCHED`' },
  ({ watched }) => {
    for (const folder of ['/etc/samhain', '/var/lib/samhain', '/var/log/samhain', '/run/samhain'])
      mkdirSync(folder, { recursive: true })
    writeFileSync(
      CONFIG,
      [
        `[ReadOnly]\ndir = 99${watched}`,
        '[Log]\nPrintSeverity=crit\nLogSeverity=none\nSyslogSeverity=none\nMailSeverity=none',
        '[Misc]\nDaemon=no',
        // Checks of the whole host, which are on by default.
        '[SuidCheck]\nSuidCheckActive=no\n[ProcessCheck]\nProcessCheckActive=no',
        '[PortCheck]\nPortCheckActive=no\n[Utmp]\nLoginCheckActive=no',
        '[EOF]\n',
      ].join('\n'),
    )
    return {
      baseline() {
        rmSync(KNOWN, { force: true })
        const text = printed('samhain', '-t', 'init')
        if (!existsSync(KNOWN)) throw new Error(`samhain -t init made no ${KNOWN}; it printed:\n${text}`)
      },
      check: ['samhain', '-t', 'check'],
      paths: (text) => [...text.matchAll(/msg=<POLICY .*path=<([^>]*)>/g)].flatMap(([, path]) => path ?? []),
    }
  },
)

/** As in the policy of Debian's package for critical files. */
const TRIPWIRE_RULE = '$(IgnoreNone)-SHa'

export const TRIPWIRE: Tool = state(
  { name: 'Tripwire', package: 'tripwire', settings: `\`WATCHED -> ${TRIPWIRE_RULE};\`` },
  ({ watched }) => {
    const folder = freshFolder('tripwire')
    const path = (name: string): string => join(folder, name)
    const [config, database, siteKey] = ['tw.cfg', 'known.twd', 'site.key'].map(path) as [string, string, string]
    const files = {
      POLFILE: 'tw.pol',
      DBFILE: 'known.twd',
      SITEKEYFILE: 'site.key',
      LOCALKEYFILE: 'local.key',
      REPORTFILE: 'report.twr',
    }
    const lines = Object.entries(files).map(([key, name]) => `${key}=${path(name)}`)
    writeFileSync(path('cfg.txt'), ['ROOT=/usr/sbin', 'EDITOR=/bin/false', ...lines, ''].join('\n'))
    writeFileSync(path('pol.txt'), `(rulename = "watched")\n{\n  ${watched} -> ${TRIPWIRE_RULE};\n}\n`)
    const keys = ['-L', path('local.key'), '-P', '', '-S', siteKey, '-Q', '']
    const site = ['--site-keyfile', siteKey, '--site-passphrase', '']
    for (const words of [
      ['--generate-keys', ...keys],
      ['--create-cfgfile', '--cfgfile', config, ...site, path('cfg.txt')],
      ['--create-polfile', '--cfgfile', config, '--polfile', path('tw.pol'), ...site, path('pol.txt')],
    ])
      printed('twadmin', ...words)
    return {
      baseline() {
        rmSync(database, { force: true })
        const text = printed('tripwire', '--init', '--cfgfile', config, '--local-passphrase', '')
        if (!existsSync(database)) throw new Error(`tripwire --init made no database; it printed:\n${text}`)
      },
      check: ['tripwire', '--check', '--cfgfile', config],
      paths: (text) => [...text.matchAll(/^"(\/.*)"$/gm)].flatMap(([, found]) => found ?? []),
    }
  },
)
