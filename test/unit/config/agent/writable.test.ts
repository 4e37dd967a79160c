/** Files and folders of ktrail that other users may write: reported, with the next step. */
import assert from 'node:assert/strict'
import { chmodSync, chownSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { checkFile } from '../../../../config/agent/check.ts'
import { Folder } from '../../exporters/support/folder.ts'

const POLICY = `apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: { name: p }
spec: { kprobes: [ { call: security_file_permission, syscall: false } ] }
`
const root = process.getuid?.() === 0
const CONFIG = 'etc/c.yaml'
const PLACE = 'lib/policies'
const FILE = 'lib/policies/p.yaml'

interface Row {
  readonly name: string
  readonly change: (at: (name: string) => string) => void
  /** The user or group that may write, and the path; empty if there is none. */
  readonly want: ReadonlyArray<readonly [key: string, place: string, who: string, next: string]>
  readonly needsRoot?: boolean
}

const EVERYBODY = 'every user of this host'
const ROWS: readonly Row[] = [
  { name: 'nothing', change: () => undefined, want: [] },
  { name: 'the config', change: (at) => chmodSync(at(CONFIG), 0o666), want: [['', CONFIG, EVERYBODY, 'chmod go-w']] },
  { name: 'its folder', change: (at) => chmodSync(at('etc'), 0o777), want: [['', 'etc', EVERYBODY, 'chmod go-w']] },
  { name: 'its folder, with the sticky bit', change: (at) => chmodSync(at('etc'), 0o1777), want: [] },
  {
    name: 'the policy folder, also with the sticky bit: new names take effect',
    change: (at) => chmodSync(at(PLACE), 0o1777),
    want: [['policies[0]: ', PLACE, EVERYBODY, 'chmod go-w']],
  },
  {
    name: 'a policy and a folder above',
    change: (at) => {
      chmodSync(at(FILE), 0o646)
      chmodSync(at('lib'), 0o757)
    },
    want: [
      ['policies[0]: ', 'lib', EVERYBODY, 'chmod go-w'],
      ['policies[0]: ', FILE, EVERYBODY, 'chmod go-w'],
    ],
  },
  {
    name: 'the folder of a link behind a link in the policy folder',
    change: (at) => {
      for (const name of ['home', 'safe']) mkdirSync(at(name))
      writeFileSync(at('safe/q.yaml'), POLICY)
      symlinkSync('../safe/q.yaml', at('home/q.yaml'))
      chmodSync(at('home'), 0o777)
      symlinkSync('../../home/q.yaml', at('lib/policies/q.yaml'))
    },
    want: [['policies[0]: ', 'home', EVERYBODY, 'chmod go-w']],
  },
  {
    name: 'the target of a link in the policy folder, and its folder',
    change: (at) => {
      mkdirSync(at('home'))
      writeFileSync(at('home/q.yaml'), POLICY)
      chmodSync(at('home/q.yaml'), 0o602)
      chmodSync(at('home'), 0o703)
      symlinkSync('../../home/q.yaml', at('lib/policies/q.yaml'))
    },
    want: [
      ['policies[0]: ', 'home/q.yaml', EVERYBODY, 'chmod go-w'],
      ['policies[0]: ', 'home', EVERYBODY, 'chmod go-w'],
    ],
  },
  {
    name: 'by a group, a file of another user',
    needsRoot: true,
    change: (at) => {
      chownSync(at(CONFIG), 0, 12)
      chmodSync(at(CONFIG), 0o660)
      chownSync(at(FILE), 4711, 0)
    },
    want: [
      ['', CONFIG, 'group 12', 'chmod go-w'],
      ['policies[0]: ', FILE, 'user 4711', 'chown root'],
    ],
  },
  {
    name: 'by the group of root, readable by another',
    needsRoot: true,
    change: (at) => {
      chmodSync(at(CONFIG), 0o660)
      chownSync(at(FILE), 0, 12)
      chmodSync(at(FILE), 0o640)
    },
    want: [],
  },
]

for (const { name, change, want, needsRoot = false } of ROWS) {
  test(`writable: ${name}`, { skip: needsRoot && !root ? 'needs root' : false }, async () => {
    using folder = new Folder()
    const at = (path: string): string => join(folder.path, path)
    mkdirSync(at(PLACE), { recursive: true })
    mkdirSync(at(dirname(CONFIG)))
    writeFileSync(at(FILE), POLICY)
    writeFileSync(at(CONFIG), `policies: [${at(PLACE)}]\nexporters: { s: { type: stdout } }\n`)
    for (const each of [PLACE, 'lib', 'etc']) chmodSync(at(each), 0o755)
    for (const each of [FILE, CONFIG]) chmodSync(at(each), 0o644)
    change(at)
    const { problems, warnings } = await checkFile(at(CONFIG), {})
    assert.deepEqual(problems, [])
    assert.deepEqual(
      warnings.map(({ message }) => message.replace(/\(mode .*?\) and could change the behavior of ktrail/, '(…)')),
      want.map(([key, path, who, next]) => `${key}${who} may write "${at(path)}" (…): ${next} "${at(path)}"`),
    )
    const ofPolicy = await checkFile(at(FILE), {})
    assert.equal(ofPolicy.warnings.length, want.filter(([, path]) => path === FILE || path === 'lib').length)
  })
}

test('writable: of many, the first are reported with the number of the others', async () => {
  using folder = new Folder()
  mkdirSync(folder.at('p'))
  for (let i = 0; i < 30; i++) {
    writeFileSync(folder.at(`p/${i}.yaml`), POLICY)
    chmodSync(folder.at(`p/${i}.yaml`), 0o666)
  }
  writeFileSync(folder.at('c.yaml'), `policies: [${folder.at('p')}]\nexporters: { s: { type: stdout } }\n`)
  const { warnings } = await checkFile(folder.at('c.yaml'), {})
  assert.equal(warnings.length, 21)
  assert.equal(warnings.at(-1)?.message, 'and 10 more files and folders that others may write')
})
