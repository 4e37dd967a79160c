/** `make bypass-matrix`: the judgement of reports, and the page of its results. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { ALL, OTHERS, SEEN, isFalse, verdictOf } from '../bypass/judge.ts'
import type { Report, Verdict } from '../bypass/judge.ts'
import { PAGE, RESULTS, factsOf, missedBy, pageOf } from '../bypass/page.ts'
import type { Results } from '../bypass/page.ts'
import { NO_REASON, reasonOf } from '../bypass/reasons.ts'
import { NONE, WORKLOADS, costLines } from '../bypass/page-cost.ts'
import { killedLines } from '../bypass/page-killed.ts'
import { wrapped } from '../bypass/tables.ts'
import { TOOLS } from '../bypass/tools/all.ts'
import { reportsIn } from '../bypass/tools/auditd.ts'
import { ADAPTERS, broughtIn } from '../bypass/tools/brought.ts'
import { Folder } from './exporters/support/folder.ts'

const [README, COMPARISON] = ['README.md', 'docs/explanation/comparison.md'].map(
  (page) => new URL(`../../${page}`, import.meta.url),
) as [URL, URL]
const PID = 40
const done = (name: string): { name: string; pid: number; folder: string } => ({ name, pid: PID, folder: `/w/${name}` })
const ours = { pid: PID, program: '/tmp/reach', uid: 0 }

const ROWS: ReadonlyArray<{ name: string; way?: string; reports: readonly Report[]; want: Verdict }> = [
  { name: 'no report', reports: [], want: 'no' },
  { name: 'file, program and user', reports: [{ ...ours, paths: ['/w/w_open/file'] }], want: 'yes' },
  { name: 'another process', reports: [{ ...ours, pid: 41, paths: ['/w/w_open/file'] }], want: 'no' },
  { name: 'a folder whose name begins the same', reports: [{ ...ours, paths: ['/w/w_openat/file'] }], want: 'unnamed' },
  { name: 'another path', reports: [{ ...ours, paths: ['/out/link'] }], want: 'unnamed' },
  { name: 'another path, with a key', reports: [{ ...ours, paths: ['/out/link'], isWatched: true }], want: 'other' },
  { name: 'a library', reports: [{ ...ours, paths: ['/lib/x86_64-linux-gnu/libc.so.6'] }], want: 'no' },
  { name: 'no user', reports: [{ pid: PID, program: 'reach', paths: ['/w/w_open/file'] }], want: 'partly' },
  { name: 'another user', reports: [{ ...ours, uid: 1, paths: ['/w/w_open/file'] }], want: 'partly' },
  { name: 'another program', reports: [{ ...ours, program: '/bin/sh', paths: ['/w/w_open/file'] }], want: 'partly' },
  { name: 'no process', reports: [{ paths: ['/w/w_open/file'] }], want: 'partly' },
  { name: 'no process, another file', reports: [{ paths: ['/w/other/file'] }], want: 'no' },
  {
    name: 'the better one of two',
    reports: [
      { ...ours, paths: ['/out/link'] },
      { ...ours, paths: ['/w/w_open/file'] },
    ],
    want: 'yes',
  },
  { name: 'nobody as root', way: 'd_read', reports: [{ ...ours, paths: ['/w/d_read/file'] }], want: 'partly' },
  { name: 'nobody', way: 'd_read', reports: [{ ...ours, uid: 65_534, paths: ['/w/d_read/file'] }], want: 'yes' },
  {
    name: 'a new program',
    way: 'x_execve',
    reports: [{ ...ours, program: 'file', paths: ['/w/x_execve'] }],
    want: 'yes',
  },
]

/** Lines in the formats of the documentation of tools that a user brings. */
const BROUGHT: ReadonlyArray<{ tool: string; line: unknown; want: readonly Report[] }> = [
  {
    tool: 'Tetragon',
    line: {
      process_kprobe: {
        process: { pid: 40, uid: 65_534, binary: '/tmp/reach' },
        function_name: 'security_file_permission',
        args: [{ file_arg: { path: '/w/file' } }, { int_arg: 4 }],
      },
    },
    want: [{ pid: 40, uid: 65_534, program: '/tmp/reach', paths: ['/w/file'], isWatched: true }],
  },
  { tool: 'Tetragon', line: { process_exit: { process: { pid: 40 } } }, want: [] },
  {
    tool: 'Falco',
    line: {
      rule: 'watched',
      output_fields: {
        'proc.pid': 40,
        'proc.exepath': '/tmp/reach',
        'user.uid': 0,
        'fd.name': null,
        'fs.path.name': null,
        'fs.path.source': '/w/file',
        'fs.path.target': '/out/file',
      },
    },
    want: [{ pid: 40, uid: 0, program: '/tmp/reach', paths: ['/w/file', '/out/file'], isWatched: true }],
  },
  { tool: 'Falco', line: { hostname: 'a', rule: 'none' }, want: [] },
  {
    tool: 'osquery',
    line: {
      name: 'watched',
      action: 'added',
      columns: { pid: '40', uid: '0', executable: '/tmp/reach', path: '/w/file', dest_path: '' },
    },
    want: [{ pid: 40, uid: 0, program: '/tmp/reach', paths: ['/w/file'], isWatched: true }],
  },
  { tool: 'osquery', line: { name: 'other', columns: { path: '/w/file' } }, want: [] },
  {
    tool: "Wazuh's agent",
    line: {
      syscheck: {
        path: '/w/file',
        event: 'modified',
        audit: { process: { id: '40', name: '/tmp/reach' }, effective_user: { id: '0', name: 'root' } },
      },
    },
    want: [{ pid: 40, uid: 0, program: '/tmp/reach', paths: ['/w/file'], isWatched: true }],
  },
  {
    tool: "Wazuh's agent",
    line: { syscheck: { path: '/w/file', mode: 'scheduled' } },
    want: [{ paths: ['/w/file'], isWatched: true }],
  },
  { tool: "Wazuh's agent", line: { rule: { id: '502' } }, want: [] },
  {
    tool: 'fact',
    line: {
      process: { pid: 40, exe_path: '/tmp/reach', uid: 0 },
      file: { Rename: { new: { filename: '/out/file' }, old: { filename: '/w/file' } } },
    },
    want: [{ pid: 40, uid: 0, program: '/tmp/reach', paths: ['/out/file', '/w/file'], isWatched: true }],
  },
  {
    tool: 'fact',
    line: {
      process: { pid: 40, exe_path: '/tmp/reach', uid: 0 },
      file: { Chmod: { inner: { filename: '/w/file' }, new_mode: 0 } },
    },
    want: [{ pid: 40, uid: 0, program: '/tmp/reach', paths: ['/w/file'], isWatched: true }],
  },
]

describe('bypass', () => {
  for (const { name, way = 'w_open', reports, want } of ROWS)
    it(`${name}: ${want}`, () => assert.equal(verdictOf(done(way), reports), want))

  it('a report of another file is false if it has the watched name or the key', () => {
    const other = done('n_outside')
    assert.equal(isFalse(other, [{ ...ours, paths: ['/out/n_outside/file'] }]), false)
    assert.equal(isFalse(other, [{ ...ours, paths: ['/out/n_outside/file'], isWatched: true }]), true)
    assert.equal(isFalse(other, [{ ...ours, paths: ['/w/n_outside/file'] }]), true)
  })

  it('audit records become reports, with names in hexadecimal, relative names, keys and inodes', () => {
    const call = 'type=SYSCALL msg=audit(1.000:7): arch=c000003e pid=40 auid=0 uid=65534 comm="reach" exe="/tmp/reach"'
    const lines = [
      `${call} key=(null)`,
      'type=CWD msg=audit(1.000:7): cwd="/w"',
      'type=PATH msg=audit(1.000:7): item=0 name="a/file" inode=5 dev=07:00 nametype=NORMAL',
      'type=PATH msg=audit(1.000:7): item=1 name=2F772F6120622F63 inode=6 dev=07:00 nametype=NORMAL',
      'type=PATH msg=audit(1.000:7): item=2 name=(null) inode=7 dev=07:00 nametype=NORMAL',
      `${call.replace(':7)', ':8)')} key="watched"`,
      'type=CONFIG_CHANGE msg=audit(1.000:9): op=add_rule key="watched"',
    ]
    const report = { pid: 40, uid: 65_534, program: '/tmp/reach' }
    assert.deepEqual(reportsIn(lines, new Set()), [
      { ...report, paths: ['/w/a/file', '/w/a b/c'], isWatched: false },
      { ...report, paths: [], isWatched: true },
    ])
    assert.equal(reportsIn(lines, new Set(['40:07:00:6']))[0]?.isWatched, true)
    assert.equal(reportsIn(lines, new Set(['40:07:01:6', '41:07:00:6']))[0]?.isWatched, false)
  })

  for (const [i, { tool, line, want }] of BROUGHT.entries()) {
    it(`line ${i + 1}, of ${tool}, becomes ${want.length === 0 ? 'no report' : 'a report'}`, () => {
      assert.deepEqual(ADAPTERS.find(({ name }) => name === tool)?.read(line), want)
    })
  }

  it('a folder with builds brings the tools whose programs it has, and each adapter makes its config', () => {
    using folder = new Folder()
    assert.deepEqual(broughtIn(folder.path), [])
    assert.deepEqual(broughtIn(''), [])
    mkdirSync(folder.at('usr/bin'), { recursive: true })
    for (const name of ['falco', 'osqueryd'])
      writeFileSync(folder.at(`usr/bin/${name}`), '#!/bin/sh\necho 1.2.3\n', { mode: 0o755 })
    const found = broughtIn(folder.path)
    assert.deepEqual(
      found.map(({ name, version }) => `${name} ${version?.()}`),
      ['Falco 1.2.3', 'osquery 1.2.3'],
    )
    for (const { name, command } of ADAPTERS) {
      // Wazuh's mounts its folder.
      if (name === "Wazuh's agent") continue
      const build = { dir: folder.path, program: `/b/${name}`, folder: folder.path, watched: '/w' }
      const { words } = command(build)
      assert.equal(words[0], build.program)
    }
  })

  it('the table of SIGKILL has what is reported later, and the causes of a start', () => {
    const lines = killedLines({
      A: { again: 'systemd', says: 'a gap', reads: 49, made: 50, goesOn: true },
      B: { says: 'nothing', reads: 0, made: 0, goesOn: false },
    })
    const text = lines.join('\n')
    assert.match(
      text,
      /\n\| A \| systemd \| 49 \| 50 \| yes \| a gap \|\n\| B \| nothing \| 0 \| 0 \| \*\*no\*\* \| nothing \|\n/,
    )
    assert.deepEqual(killedLines({}), [])
  })

  it('paragraphs of the page fit its width, and keep pieces of code whole', () => {
    const code = '`make bypass-matrix DIR=folder`'
    const lines = wrapped(`- ${'a word '.repeat(15)}${code} and more`).split('\n')
    assert.deepEqual(
      lines.map((line) => line.length <= 120),
      [true, true],
    )
    assert.ok(lines[1]?.startsWith(`  ${code} and`), lines.join('\n'))
  })

  it('the table of costs has the differences to the calls without a tool, and checks of tools that compare states', () => {
    const calls = (call: number, tool: number) => ({
      calls: Object.fromEntries(WORKLOADS.map(({ name }) => [name, { call, tool }])),
    })
    const lines = costLines(['A', 'B', 'C'], { [NONE]: calls(1000, 10), A: calls(3500, 20), B: { scan: 4_560_000 } })
    const text = lines.join('\n')
    assert.match(text, /\n\| A \| (?:2,500 \+ 0 \| ){4}– \|\n\| B \| (?:– \| ){4}5 million \|\n\n/)
    assert.match(text, /`pread` of a byte takes 1,000 /)
    assert.deepEqual(costLines(['A'], {}), [])
  })

  const results: Results = JSON.parse(readFileSync(RESULTS, 'utf8'))

  it('the page has the results', () => {
    assert.equal(readFileSync(PAGE, 'utf8'), pageOf(results), 'run make bypass-matrix')
  })

  it('README and the comparison have the facts of the results', () => {
    for (const page of [README, COMPARISON]) {
      const text = readFileSync(page, 'utf8')
      for (const fact of factsOf(results)) assert.ok(text.includes(`- ${fact}\n`), `${page.pathname} lacks: ${fact}`)
    }
  })

  it('ktrail and at least five other tools were tried with each way, and each miss has a reason', () => {
    const names = Object.keys(results.tools)
    assert.ok(names.filter((name) => !name.startsWith('ktrail')).length >= 5, names.join())
    assert.ok(names.includes('ktrail by identity') && names.includes('ktrail by name'))
    assert.deepEqual(
      names.filter((name) => ![...TOOLS, ...ADAPTERS].some((tool) => tool.name === name)),
      [],
    )
    const ways = SEEN.flatMap(({ rows }) => rows.map(({ name }) => name))
    for (const [tool, { verdicts, wrong }] of Object.entries(results.tools)) {
      // The others need a state of the caches that a tool may change.
      assert.ok(ways.filter((way) => verdicts[way] !== undefined).length >= ways.length - 2, tool)
      for (const [way, verdict] of Object.entries(verdicts))
        if (verdict === 'no') assert.notEqual(reasonOf(tool, way), NO_REASON, `${tool}: ${way}`)
      for (const way of wrong) assert.ok(OTHERS.some(({ name }) => name === way))
    }
    assert.equal(new Set(ALL.map(({ name }) => name)).size, ALL.length)
  })

  it('ktrail by identity misses no way and reports no other file', () => {
    assert.deepEqual(missedBy(results), [])
    const tool = {
      bursts: [],
      verdicts: { w_open: 'yes', w_link_after: 'unnamed', r_read: 'no' },
      wrong: ['n_outside'],
    } as const
    const wrong = missedBy({ ...results, tools: { 'ktrail by identity': tool } })
    assert.deepEqual(wrong, ['w_link_after', 'r_read', 'n_outside'])
    assert.deepEqual(missedBy({ ...results, tools: {} }), ['all'])
  })
})
