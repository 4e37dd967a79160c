/**
 * Tools that are no Debian package: `make bypass-matrix DIR=folder` runs those of which the folder has a build. The formats are those of
 * their documentation, because the project has no builds of them: only the parsers are tested (test/unit/bypass.test.ts).
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { globSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { freshFolder } from '../../e2e/support/agent.ts'
import type { Line } from '../../e2e/support/record.ts'
import type { Report } from '../judge.ts'
import { reportOf } from './ktrail.ts'
import { Program } from './tool.ts'
import type { Place, Tool } from './tool.ts'
import { printing } from './watchers.ts'

interface Build {
  readonly dir: string
  readonly program: string
  /** An empty folder for its files. */
  readonly folder: string
  readonly watched: string
}

interface Adapter {
  readonly name: string
  /** The name of its program, anywhere below DIR. */
  readonly file: string
  readonly settings: string
  /** Its command; `events`: the file of its JSON lines, unless it prints them. */
  command(build: Build): { readonly words: readonly [string, ...string[]]; readonly events?: string }
  /** The reports of a line. */
  read(line: unknown): readonly Report[]
}

const below = (dir: string, file: string): readonly string[] =>
  globSync(`**/${file}`, { cwd: dir })
    .map((path) => join(dir, path))
    .filter((path) => statSync(path).isFile())

const file = (folder: string, name: string, content: string | object): string => {
  const path = join(folder, name)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content))
  return path
}

const number = (text: string | number | undefined): number => Number(text ?? Number.NaN)
const given = (...paths: ReadonlyArray<string | null | undefined>): string[] =>
  paths.filter((path) => path !== undefined && path !== null && path !== '') as string[]

/** https://tetragon.io/docs/use-cases/filename-access/ */
const TETRAGON_HOOKS = [
  ['security_file_permission', 'file', 'int'],
  ['security_mmap_file', 'file', 'uint32', 'uint32'],
  ['security_path_truncate', 'path'],
]

/** https://falco.org/docs/concepts/rules/fspath/ */
const FALCO_EVENTS =
  'open,openat,openat2,creat,open_by_handle_at,unlink,unlinkat,mkdir,mkdirat,rmdir,rename,renameat,renameat2,link,linkat,symlink,symlinkat,' +
  'chmod,fchmod,fchmodat,chown,lchown,fchown,fchownat,mount,umount,umount2,execve,execveat'
const FALCO_FIELDS = ['fd.name', 'fs.path.name', 'fs.path.source', 'fs.path.target']

interface FalcoLine {
  readonly output_fields?: Readonly<Record<string, string | number | null>>
}
interface OsqueryLine {
  readonly name?: string
  readonly columns?: Readonly<Record<string, string>>
}
interface WazuhLine {
  readonly syscheck?: {
    readonly path?: string
    readonly audit?: {
      readonly process?: { readonly id: string; readonly name: string }
      readonly effective_user?: { readonly id: string }
    }
  }
}
interface FactFile {
  readonly filename?: string
  readonly inner?: FactFile
  readonly new?: FactFile
  readonly old?: FactFile
}
interface FactLine {
  readonly process?: { readonly pid: number; readonly exe_path: string; readonly uid: number }
  readonly file?: Readonly<Record<string, FactFile>>
}

const factPaths = ({ filename, inner, new: to, old }: FactFile): string[] => [
  ...given(filename),
  ...[inner, to, old].flatMap((each) => (each === undefined ? [] : factPaths(each))),
]

export const ADAPTERS: readonly Adapter[] = [
  {
    name: 'Tetragon',
    file: 'tetragon',
    settings: `\`${TETRAGON_HOOKS.map(([call]) => call).join('`, `')}\` with \`operator: Prefix\`, \`values: ["WATCHED/"]\`; \`--rb-size-total 16M\``,
    command({ dir, program, folder, watched }) {
      const kprobes = TETRAGON_HOOKS.map(([call, ...types]) => ({
        call,
        syscall: false,
        return: true,
        args: types.map((type, index) => ({ index, type })),
        returnArg: { index: 0, type: 'int' },
        selectors: [{ matchArgs: [{ index: 0, operator: 'Prefix', values: [`${watched}/`] }] }],
      }))
      const policy = {
        apiVersion: 'cilium.io/v1alpha1',
        kind: 'TracingPolicy',
        metadata: { name: 'watched' },
        spec: { kprobes },
      }
      const policies = dirname(file(folder, 'policies/watched.yaml', policy))
      const objects = dirname(below(dir, 'bpf_generic_kprobe.o')[0] ?? '')
      const events = join(folder, 'events.jsonl')
      const files = ['--bpf-lib', objects, '--tracing-policy-dir', policies, '--export-filename', events]
      const sizes = ['--export-file-max-size-mb', '1000', '--rb-size-total', '16M']
      return { words: [program, ...files, ...sizes, '--server-address', `unix://${folder}/api.sock`], events }
    },
    read: (line) => reportOf(line as Line),
  },
  {
    name: 'Falco',
    file: 'falco',
    settings: `a rule \`evt.type in (${FALCO_EVENTS}) and (${FALCO_FIELDS.map((field) => `${field} startswith WATCHED/`).join(' or ')})\`, \`engine.kind: modern_ebpf\``,
    command({ program, folder, watched }) {
      const condition = `evt.type in (${FALCO_EVENTS}) and (${FALCO_FIELDS.map((field) => `${field} startswith "${watched}/"`).join(' or ')})`
      const output = ['proc.pid', 'proc.exepath', 'user.uid', ...FALCO_FIELDS].map((field) => `%${field}`).join(' ')
      const rules = file(folder, 'rules.yaml', [
        { rule: 'watched', desc: 'watched', condition, output, priority: 'NOTICE' },
      ])
      const config = file(folder, 'falco.yaml', {
        rules_files: [rules],
        engine: { kind: 'modern_ebpf' },
        json_output: true,
        buffered_outputs: false,
        stdout_output: { enabled: true },
      })
      return { words: [program, '-c', config] }
    },
    read(line) {
      const { output_fields: fields } = line as FalcoLine
      if (fields === undefined) return []
      const paths = given(...FALCO_FIELDS.map((field) => fields[field]?.toString()))
      const program = String(fields['proc.exepath'])
      return [{ pid: Number(fields['proc.pid']), program, uid: Number(fields['user.uid']), paths, isWatched: true }]
    },
  },
  {
    name: 'osquery',
    file: 'osqueryd',
    settings:
      '`file_paths: {"watched": ["WATCHED/%%"]}`, `process_file_events` every second, `--disable_audit=false --audit_allow_fim_events`',
    command({ program, folder, watched }) {
      const query = 'SELECT pid, uid, executable, path, dest_path FROM process_file_events'
      const config = file(folder, 'osquery.conf', {
        schedule: { watched: { query, interval: 1 } },
        file_paths: { watched: [`${watched}/%%`] },
      })
      const events = [
        '--disable_events=false',
        '--disable_audit=false',
        '--audit_allow_config',
        '--audit_allow_fim_events',
      ]
      const files = [
        `--config_path=${config}`,
        `--logger_path=${folder}`,
        `--database_path=${folder}/db`,
        `--pidfile=${folder}/pid`,
      ]
      const words = [
        program,
        ...events,
        '--events_max=100000',
        ...files,
        '--extensions_socket=',
        '--disable_watchdog',
      ] as const
      return { words: [...words], events: join(folder, 'osqueryd.results.log') }
    },
    read(line) {
      const { name, columns } = line as OsqueryLine
      if (name !== 'watched' || columns === undefined) return []
      const paths = given(columns['path'], columns['dest_path'])
      const program = columns['executable'] ?? ''
      return [{ pid: number(columns['pid']), program, uid: number(columns['uid']), paths, isWatched: true }]
    },
  },
  {
    name: "Wazuh's agent",
    file: 'wazuh-control',
    settings: '`<directories check_all="yes" whodata="yes">WATCHED</directories>`, in an installation with its manager',
    command({ program, folder, watched }) {
      // The programs have this path in them.
      const home = '/var/ossec'
      mkdirSync(home, { recursive: true })
      execFileSync('mount', ['--bind', dirname(dirname(program)), home])
      const rules = `<ruleset><decoder_dir>ruleset/decoders</decoder_dir><rule_dir>ruleset/rules</rule_dir></ruleset>`
      const watch = `<syscheck><directories check_all="yes" whodata="yes">${watched}</directories></syscheck>`
      const config = `<ossec_config><global><jsonout_output>yes</jsonout_output></global>${rules}${watch}</ossec_config>\n`
      const ours = file(folder, 'ossec.conf', config)
      execFileSync('mount', ['--bind', ours, `${home}/etc/ossec.conf`])
      const control = `${home}/bin/wazuh-control`
      const run = `trap '${control} stop; exit' TERM; ${control} start; sleep infinity & wait`
      return { words: ['sh', '-c', run], events: `${home}/logs/alerts/alerts.json` }
    },
    read(line) {
      const { path, audit: { process, effective_user: user } = {} } = (line as WazuhLine).syscheck ?? {}
      if (path === undefined) return []
      return [
        process === undefined || user === undefined
          ? { paths: [path], isWatched: true }
          : { pid: number(process.id), program: process.name, uid: number(user.id), paths: [path], isWatched: true },
      ]
    },
  },
  {
    name: 'fact',
    file: 'fact',
    settings: '`fact --json --paths WATCHED/**/*`',
    command: ({ program, watched }) => ({ words: [program, '--json', '--paths', `${watched}/**/*`] }),
    read(line) {
      const { process, file: changed } = line as FactLine
      if (process === undefined || changed === undefined) return []
      const paths = Object.values(changed).flatMap(factPaths)
      return [{ pid: process.pid, program: process.exe_path, uid: process.uid, paths, isWatched: true }]
    },
  },
]

const toolOf = ({ name, settings, command, read }: Adapter, dir: string, program: string): Tool => ({
  name,
  settings,
  version: () => spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout.trim().split('\n')[0] ?? '',
  start: printing(
    ({ watched }: Place) => {
      const { words, events } = command({ dir, program, folder: freshFolder('brought'), watched })
      return new Program(words, events === undefined ? {} : { events })
    },
    (line) => (line.startsWith('{') ? read(JSON.parse(line)) : []),
    'a service',
  ),
})

/** Tools of which the folder has a build. */
export const broughtIn = (dir: string): readonly Tool[] =>
  ADAPTERS.flatMap((adapter) => {
    const [program] = dir === '' ? [] : below(dir, adapter.file)
    return program === undefined ? [] : [toolOf(adapter, dir, program)]
  })
