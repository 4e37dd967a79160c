/** Tools that compare files with a list of their state: AIDE, Samhain. They name neither program nor user. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freshFolder } from '../../e2e/support/agent.ts'
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

/** `check` returns the paths that a check finds changed, added or removed. */
const state = (
  about: Pick<Tool, 'name' | 'package' | 'settings'>,
  make: (place: Place) => { readonly baseline: () => void; readonly check: () => readonly string[] },
): Tool => ({
  ...about,
  start(place): Promise<Running> {
    const { baseline, check } = make(place)
    return Promise.resolve({
      baseline,
      reports: () => Promise.resolve(check().map((path): Report => ({ paths: [path] }))),
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
      check() {
        const text = printed('aide', `--config=${config}`, '--check')
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
      check() {
        const text = printed('samhain', '-t', 'check')
        return [...text.matchAll(/msg=<POLICY .*path=<([^>]*)>/g)].flatMap(([, path]) => path ?? [])
      },
    }
  },
)
