/**
 * Processes on a real kernel: their programs, parents and ends. One agent watches a folder; scripts of act.c fork,
 * exec and end in every way; exactly these records must be written.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, readdirSync, readlinkSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { actBinary, line, runAct, scriptFile, startAct } from './support/act.ts'
import type { ActEnd, Acting } from './support/act.ts'
import { TestAgent, cannotRun, freshFolder } from './support/agent.ts'
import { fileHook, path, policy } from './support/policy.ts'
import { execIdText, processOf } from './support/record.ts'
import type { Line, ProcessRecord } from './support/record.ts'
import { summary } from './support/summary.ts'
import { LONG } from '../support/long.ts'

const skip = cannotRun()
const folder = skip === false ? freshFolder('processes') : '/none'
const ACT = skip === false ? actBinary() : ''
const below = (...names: string[]): string => join(folder, ...names)

const execs = (lines: readonly Line[]): ProcessRecord[] =>
  lines.filter((found) => found.process_exec !== undefined).map(processOf)
const exits = (lines: readonly Line[]): ProcessRecord[] =>
  lines.filter((found) => found.process_exit !== undefined).map(processOf)
const kprobes = (lines: readonly Line[]): Line[] => lines.filter((found) => found.process_kprobe !== undefined)

/** Pids of user-space processes: those with an executable. */
function userPids(): Set<number> {
  return new Set(
    readdirSync('/proc')
      .filter((name) => /^[0-9]+$/.test(name))
      .filter((name) => {
        try {
          return readlinkSync(`/proc/${name}/exe`) !== ''
        } catch {
          return false
        }
      })
      .map(Number),
  )
}

const LONG_TEXT = 'x'.repeat(20_000)

const ARGUMENTS: ReadonlyArray<{
  name: string
  argv: ReadonlyArray<string | Buffer>
  want: string | undefined
  flags?: string
}> = [
  { name: 'none', argv: ['true'], want: undefined },
  { name: 'no argv at all', argv: [], want: undefined },
  { name: 'plain', argv: ['true', '-a', 'b=c'], want: '-a b=c' },
  { name: 'a space puts quotes around it, and one space before', argv: ['true', 'a b', 'c'], want: ' "a b" c' },
  { name: 'a space in a later one', argv: ['true', 'c', 'a b'], want: 'c "a b"' },
  { name: 'quotes inside are not escaped', argv: ['true', 'say "hi" now'], want: ' "say "hi" now"' },
  { name: 'empty ones leave their spaces', argv: ['true', 'x', '', 'y', ''], want: 'x  y ' },
  { name: 'an empty first one', argv: ['true', '', 'y'], want: ' y' },
  { name: 'line feeds and tabs', argv: ['true', 'a\nb\tc'], want: 'a\nb\tc' },
  { name: 'characters of many bytes', argv: ['true', 'ü€😀'], want: 'ü€😀' },
  {
    name: 'bytes that are no UTF-8',
    argv: ['true', Buffer.from([0x61, 0xff, 0xfe, 0x62]), Buffer.from([0xc3])],
    want: 'a\uFFFDb \uFFFD',
  },
  {
    name: 'a hundred',
    argv: ['true', ...Array.from({ length: 100 }, (_, i) => `a${i}`)],
    want: Array.from({ length: 100 }, (_, i) => `a${i}`).join(' '),
  },
  { name: '900 bytes', argv: ['true', LONG_TEXT.slice(0, 900)], want: LONG_TEXT.slice(0, 900) },
  {
    name: '5,000 bytes',
    argv: ['true', LONG_TEXT.slice(0, 5_000)],
    want: LONG_TEXT.slice(0, 5_000),
    flags: 'execve dataArgs',
  },
  {
    name: '16,000 bytes',
    argv: ['true', LONG_TEXT.slice(0, 16_000)],
    want: LONG_TEXT.slice(0, 16_000),
    flags: 'execve dataArgs',
  },
  { name: '20,000 bytes', argv: ['true', 'first', LONG_TEXT], want: `first ${LONG_TEXT}`, flags: 'execve dataArgs' },
  {
    name: '100,000 bytes',
    argv: ['true', LONG_TEXT.repeat(5), 'last'],
    want: `${LONG_TEXT.repeat(5)} last`,
    flags: 'execve dataArgs',
  },
  {
    name: '327,360 bytes, the most of Tetragon',
    argv: ['true', ...Array.from({ length: 3 }, () => LONG_TEXT.repeat(5)), 'x'.repeat(27_351)],
    want: [...Array.from({ length: 3 }, () => LONG_TEXT.repeat(5)), 'x'.repeat(27_351)].join(' '),
    flags: 'execve dataArgs',
  },
]

const ENDS: ReadonlyArray<{ name: string; does: readonly string[]; want: string }> = [
  { name: 'status 0', does: [line('exit', 0)], want: '0' },
  { name: 'status 3', does: [line('exit', 3)], want: '3' },
  { name: 'status 255', does: [line('exit', 255)], want: '255' },
  { name: 'SIGKILL', does: [line('kill', 9)], want: 'SIGKILL' },
  { name: 'SIGTERM', does: [line('kill', 15)], want: 'SIGTERM' },
  { name: 'SIGSEGV without a core', does: [line('kill', 11)], want: 'SIGSEGV' },
  { name: 'SIGSEGV with a core', does: [line('chdir', folder), line('core'), line('kill', 11)], want: 'SIGSEGV' },
]

const CONTAINER = '0123456789abcdef'.repeat(4)

describe('processes', { skip }, () => {
  let agent: TestAgent
  let sleeper: Acting
  let ranBefore: Set<number>

  before(async () => {
    writeFileSync(below('f'), 'text')
    sleeper = startAct([line('chdir', '/'), line('wait'), line('read', below('f')), line('exit', 5)])
    ranBefore = userPids()
    agent = await TestAgent.start()
    assert.equal(await agent.apply('watch', policy('watch', [fileHook([path('Prefix', `${folder}/`)])])), 'added')
  })
  after(() => agent?.[Symbol.asyncDispose]())

  /** Runs a script; returns its lines, and how it ended. `pid`: the one that it gets, unless another process takes it. */
  const running = async (
    does: readonly string[],
    { binary, pid }: { binary?: string; pid?: number } = {},
  ): Promise<{ lines: Line[]; end: ActEnd }> => {
    let end: ActEnd | undefined
    const lines = await agent.during(async () => {
      if (pid !== undefined) writeFileSync('/proc/sys/kernel/ns_last_pid', String(pid - 1))
      end = await startAct(does, binary === undefined ? {} : { binary }).ended
    })
    assert.ok(end !== undefined)
    assert.notEqual(end.code, 100, 'act failed, see its message above')
    return { lines, end }
  }

  test('processes: each user process that ran before the agent has one record, with flag procFS; kernel threads have none', () => {
    const lines = agent.lines()
    const scanned = execs(lines).filter(({ flags = '' }) => flags.split(' ').includes('procFS'))
    const still = userPids()
    const pids = scanned.map(({ pid }) => pid ?? 0).filter((pid) => ranBefore.has(pid) && still.has(pid))
    assert.deepEqual(
      pids.toSorted((a, b) => a - b),
      [...ranBefore].filter((pid) => still.has(pid)).toSorted((a, b) => a - b),
    )
    assert.deepEqual(
      execs(lines)
        .map(({ binary = '' }) => binary)
        .filter((binary) => binary.startsWith('[')),
      [],
    )
    const mine = scanned.find(({ pid }) => pid === process.pid)
    assert.equal(mine?.binary, process.execPath)
    assert.equal(mine?.cwd, process.cwd())
    assert.equal(mine?.flags, 'procFS')
    const init = lines.find((found) => found.process_exec?.process?.pid === 1)?.process_exec
    assert.equal(init?.parent?.binary, '<kernel>')
    assert.equal(init?.parent?.pid, 0)
    assert.match(execIdText(init?.parent?.exec_id), /:1:0$/)
    const kernel = lines.find((found) => found.process_exec?.process?.pid === 0)?.process_exec
    assert.deepEqual(kernel?.process?.exec_id, init?.parent?.exec_id)
    assert.deepEqual(
      [kernel?.process?.flags, kernel?.process?.parent_exec_id, kernel?.parent],
      ['procFS', undefined, undefined],
    )
  })

  test('processes: an exec after the parent has ended names the new parent', async () => {
    const script = 'ended=$1; (while [ -d /proc/$$ ]; do sleep 0.1; done; exec true "$ended") & exit 0'
    const lines = await agent.during(async () => {
      execFileSync('sh', ['-c', script, 'sh', 'the-parent-has-ended'], { stdio: 'ignore' })
      await agent.until('its exec', () =>
        agent.lines().some((found) => processOf(found).arguments === 'the-parent-has-ended'),
      )
    })
    const adopted = lines.find((found) => processOf(found).arguments === 'the-parent-has-ended')?.process_exec
    assert.equal(adopted?.process?.flags, 'execve clone')
    assert.equal(adopted?.parent?.pid, 1)
    const init = agent.lines().find((found) => found.process_exec?.process?.pid === 1)
    assert.equal(adopted?.process?.parent_exec_id, init?.process_exec?.process?.exec_id)
  })

  test('processes: one that ran before the agent keeps its identity until it ends', async () => {
    const lines = await agent.during(async () => {
      sleeper.go()
      assert.equal((await sleeper.ended).code, 5)
    })
    const known = execs(agent.lines()).find(({ pid }) => pid === sleeper.pid)
    assert.deepEqual(lines.map(summary), [
      `${ACT} security_file_permission(${below('f')} -rw-r--r--, 4) = 0`,
      `exit ${ACT} 5`,
    ])
    assert.equal(known?.flags, 'procFS rootcwd')
    assert.equal(known?.cwd, '/')
    assert.equal(known?.arguments, sleeper.script)
    for (const found of lines) {
      assert.deepEqual({ ...processOf(found), refcnt: undefined }, { ...known, refcnt: undefined })
    }
  })

  for (const { name, argv, want, flags = 'execve' } of ARGUMENTS) {
    test(`processes: arguments, ${name}`, async () => {
      const { lines } = await running([line('exec', '/bin/true', ...argv)])
      const ran = execs(lines).at(-1)
      assert.equal(ran?.binary, '/bin/true')
      assert.equal(ran?.arguments, want)
      assert.equal(ran?.flags, flags)
    })
  }

  test('processes: arguments over 336 KiB are cut and marked', async () => {
    const words = Array.from({ length: 4 }, () => LONG_TEXT.repeat(5))
    const { lines } = await running([line('exec', '/bin/true', 'true', 'first', ...words)])
    const ran = execs(lines).at(-1)
    assert.equal(ran?.flags, 'execve truncArgs dataArgs')
    const text = ran?.arguments ?? ''
    assert.ok(`first ${words.join(' ')}`.startsWith(text), 'not the beginning of what was given')
    assert.equal(text.length, 344_064 - 'true '.length)
  })

  test('processes: events behind the exec have the first 16 KiB of its arguments', async () => {
    const { lines } = await running([line('exec', '/bin/true', 'true', 'first', LONG_TEXT)])
    assert.equal(execs(lines).at(-1)?.arguments, `first ${LONG_TEXT}`)
    const [ended] = exits(lines)
    assert.equal(ended?.exec_id, execs(lines).at(-1)?.exec_id)
    assert.equal(ended?.flags, 'execve truncArgs dataArgs')
    assert.equal(ended?.arguments, `first ${LONG_TEXT}`.slice(0, 16_384 - 'true '.length))
  })

  test('processes: a relative binary is the file that was executed, an absolute symlink stays as it is', async () => {
    mkdirSync(below('bin'))
    const script = scriptFile([line('exit', 0)])
    const { lines } = await running([
      line('chdir', folder),
      line('symlink', ACT, 'link'),
      line('fork', 1),
      line('exec', './bin/../link', 'l', script),
      line('fork', 1),
      line('exec', 'link', 'l', script),
      line('exec', below('link'), 'l', script),
    ])
    const ran = execs(lines).slice(1)
    assert.deepEqual(
      ran.map(({ binary, cwd, arguments: args }) => ({ binary, cwd, args })),
      [ACT, ACT, below('link')].map((binary) => ({ binary, cwd: folder, args: script })),
    )
  })

  test('processes: the binary of a script is the script, not its interpreter', async () => {
    writeFileSync(below('script'), '#!/bin/sh\nexit 3\n')
    chmodSync(below('script'), 0o755)
    for (const named of [below('script'), './script', './bin/../script']) {
      const { lines, end } = await running([line('chdir', folder), line('exec', named, 's', 'x')])
      assert.equal(end.code, 3)
      const ran = execs(lines).at(-1)
      assert.equal(ran?.binary, below('script'))
      assert.equal(ran?.arguments, `${named} x`)
      assert.equal(summary(lines.at(-1) ?? {}), `exit ${below('script')} 3`)
    }
  })

  test('processes: a binary with odd bytes in its name', async () => {
    const odd = Buffer.concat([Buffer.from(below('a "b"\n')), Buffer.from([0xff])])
    const { lines } = await running([line('symlink', ACT, odd), line('exec', odd, 'odd')])
    assert.equal(execs(lines).at(-1)?.binary, `${below('a "b"\n')}\uFFFD`)
  })

  test('processes: an executable run by its descriptor (fexecve) is named', async () => {
    const { lines } = await running([line('fexec', ACT, 'by-descriptor', scriptFile([line('exit', 4)]))])
    assert.equal(execs(lines).at(-1)?.binary, ACT)
    assert.equal(lines.at(-1)?.process_exit?.status, 4)
  })

  test('processes: a failed exec is not recorded', async () => {
    const { lines, end } = await running([line('denied', 'exec', below('f'), 'f')])
    assert.deepEqual(lines.map(summary), [`exec ${ACT} ${end.script}`, `exit ${ACT} 0`])
  })

  test('processes: each exec without a fork is a new image whose parent is the previous image', async () => {
    const reads = line('read', below('f'))
    const third = scriptFile([reads, line('exit', 9)])
    const second = scriptFile([reads, line('exec', ACT, 'act', third)])
    const { lines, end } = await running([reads, line('exec', ACT, 'act', second)])
    const images = execs(lines)
    assert.deepEqual(
      images.map(({ pid, flags }) => `${pid} ${flags}`),
      [`${end.pid} execve clone`, `${end.pid} execve`, `${end.pid} execve`],
    )
    assert.equal(new Set(images.map((image) => image.exec_id)).size, 3)
    assert.equal(images[1]?.parent_exec_id, images[0]?.exec_id)
    assert.equal(images[2]?.parent_exec_id, images[1]?.exec_id)
    assert.deepEqual(
      kprobes(lines).map((found) => processOf(found).exec_id),
      images.map((image) => image.exec_id),
    )
    assert.deepEqual(
      exits(lines).map((image) => image.exec_id),
      [images[2]?.exec_id],
    )
  })

  test('processes: a fork without exec has the image of its parent and its own identity', async () => {
    const { lines, end } = await running([
      line('read', below('f')),
      line('fork', 4),
      line('fork', 2),
      line('read', below('f')),
      line('exit', 2),
      line('exit', 1),
    ])
    const [own, grandchild] = kprobes(lines)
    const [image] = execs(lines)
    const ended = lines.filter((found) => found.process_exit !== undefined)
    assert.deepEqual(ended.map(summary), [`exit ${ACT} 2`, `exit ${ACT} 1`, `exit ${ACT} 0`])
    const child = processOf(ended[1] ?? {})
    const inner = processOf(grandchild ?? {})
    assert.equal(processOf(own ?? {}).exec_id, image?.exec_id)
    for (const copy of [child, inner]) {
      assert.equal(copy.binary, ACT)
      assert.equal(copy.arguments, end.script)
      assert.equal(copy.cwd, process.cwd())
      assert.equal(copy.flags, 'execve')
    }
    assert.equal(new Set([image, child, inner].map((found) => found?.exec_id)).size, 3)
    assert.equal(child.parent_exec_id, image?.exec_id)
    assert.equal(inner.parent_exec_id, child.exec_id)
    assert.equal(grandchild?.process_kprobe?.parent?.exec_id, child.exec_id)
    assert.match(execIdText(inner.exec_id), new RegExp(`:${inner.pid}$`))
    assert.equal(processOf(ended[0] ?? {}).exec_id, inner.exec_id)
    assert.equal(processOf(ended[2] ?? {}).exec_id, image?.exec_id)
  })

  test('processes: the next process with the same pid is another one', async () => {
    const script = [line('read', below('f'))]
    const first = await running(script)
    let next = first
    for (let tries = 0; tries < 20 && (next === first || next.end.pid !== first.end.pid); tries++)
      next = await running(script, { pid: first.end.pid })
    assert.equal(next.end.pid, first.end.pid, 'another process took the pid each time')
    const ran = [first, next].map(({ lines }) => execs(lines)[0]?.exec_id)
    assert.equal(new Set(ran).size, 2)
    assert.deepEqual(
      [first, next].map(({ lines }) => kprobes(lines).map((found) => processOf(found).exec_id)),
      ran.map((id) => [id]),
    )
  })

  test('processes: a thread has its own tid and no exit', async () => {
    const { lines, end } = await running([
      line('thread', 1),
      line('read', below('f')),
      line('thread', 1),
      line('read', below('f')),
      line('read', below('f')),
      line('exit', 6),
    ])
    const readers = kprobes(lines).map(processOf)
    assert.deepEqual(
      readers.map(({ pid }) => pid),
      [end.pid, end.pid, end.pid],
    )
    assert.equal(new Set(readers.map(({ tid }) => tid)).size, 3)
    assert.equal(readers[2]?.tid, end.pid)
    assert.equal(new Set(readers.map((reader) => reader.exec_id)).size, 1)
    assert.deepEqual(lines.filter((found) => found.process_exit).map(summary), [`exit ${ACT} 6`])
    assert.equal(exits(lines)[0]?.tid, end.pid)
  })

  test('processes: a process whose first thread ends continues', async () => {
    const { lines, end } = await running([line('leave'), line('read', below('f')), line('exit', 7)])
    assert.equal(end.code, 7)
    assert.deepEqual(lines.map(summary), [
      `exec ${ACT} ${end.script}`,
      `${ACT} security_file_permission(${below('f')} -rw-r--r--, 4) = 0`,
      `exit ${ACT} 7`,
    ])
    const reader = processOf(kprobes(lines)[0] ?? {})
    assert.equal(reader.pid, end.pid)
    assert.notEqual(reader.tid, end.pid)
    assert.equal(exits(lines)[0]?.tid, end.pid)
  })

  test('processes: an exec by a thread is recorded for its process', async () => {
    const { lines, end } = await running([line('thread', 1), line('exec', '/bin/true', 'true', 'from-a-thread')])
    const [first, second] = execs(lines)
    assert.equal(second?.pid, end.pid)
    assert.equal(second?.tid, end.pid)
    assert.equal(second?.parent_exec_id, first?.exec_id)
    assert.deepEqual(lines.map(summary), [
      `exec ${ACT} ${end.script}`,
      'exec /bin/true from-a-thread',
      'exit /bin/true 0',
    ])
  })

  for (const { name, does, want } of ENDS) {
    test(`processes: ends with ${name}`, async () => {
      const { lines, end } = await running(does)
      assert.deepEqual(lines.filter((found) => found.process_kprobe === undefined).map(summary), [
        `exec ${ACT} ${end.script}`,
        `exit ${ACT} ${want}`,
      ])
      assert.equal(lines.at(-1)?.process_exit?.signal === undefined, end.signal === null)
      if (name.endsWith('with a core')) {
        assert.ok(
          readdirSync(folder).some((file) => file.startsWith('core')),
          'no core was written',
        )
      }
    })
  }

  test('processes: the cwd / is a flag, a removed one is marked, and one in a chroot is relative to its root', async () => {
    const inner = [line('mkdir', below('root')), line('mkdir', below('root', 'd'))]
    const { lines } = await running([
      line('chdir', '/'),
      line('fork', 1),
      line('exec', '/bin/true', 'true', 'root'),
      line('mkdir', below('cwd')),
      line('chdir', below('cwd')),
      line('rmdir', below('cwd')),
      line('fork', 1),
      line('exec', '/bin/true', 'true', 'removed'),
      ...inner,
      line('link', ACT, below('root', 'act')),
      line('fork', 3),
      line('chroot', below('root')),
      line('chdir', '/d'),
      line('exec', '../act', 'act'),
    ])
    assert.deepEqual(
      execs(lines)
        .slice(1)
        .map(({ binary, cwd, flags }) => ({ binary, cwd, flags })),
      [
        { binary: '/bin/true', cwd: '/', flags: 'execve rootcwd clone' },
        { binary: '/bin/true', cwd: below('cwd (deleted)'), flags: 'execve clone' },
        { binary: '/act', cwd: '/d', flags: 'execve clone' },
      ],
    )
  })

  test('processes: a cwd that does not fit keeps its last components and is marked', async () => {
    const name = 'n'.repeat(250)
    const does = [line('chdir', folder)]
    for (let i = 0; i < 20; i++) does.push(line('mkdir', name), line('chdir', name))
    const { lines } = await running([...does, line('exec', '/bin/true', 'true')])
    const ran = execs(lines).at(-1)
    assert.equal(ran?.flags, 'execve errorPathResolutionCwd')
    assert.equal(ran?.cwd, `/${name}`.repeat(16))
  })

  test('processes: the uid is the effective one, also of a set-user-id program', async () => {
    actBinary(below('suid'))
    chownSync(below('suid'), 1234, 1234)
    chmodSync(below('suid'), 0o4755)
    chmodSync(folder, 0o755)
    const { lines } = await running([
      line('user', 65_534),
      line('fork', 1),
      line('exec', '/bin/true', 'true'),
      line('exec', below('suid'), 'suid'),
    ])
    assert.deepEqual(
      execs(lines).map(({ uid, auid }) => ({ uid, auid })),
      [0, 65_534, 1234].map((uid) => ({ uid, auid: 4_294_967_295 })),
    )
  })

  test('processes: in a pid namespace the pid is still the host’s', async () => {
    const { lines, end } = await running([line('pidns'), line('fork', 1), line('exec', '/bin/true', 'true', 'inside')])
    const ran = execs(lines).at(-1)
    assert.equal(ran?.arguments, 'inside')
    assert.ok((ran?.pid ?? 0) > end.pid, `pid ${ran?.pid}`)
    assert.match(execIdText(ran?.exec_id), new RegExp(`:${ran?.pid}$`))
    assert.equal(ran?.parent_exec_id, execs(lines)[0]?.exec_id)
    // The first process of its namespace, as in a container.
    assert.equal(ran?.in_init_tree, true)
    assert.equal(ran?.docker, undefined)
  })

  test('processes: a container is known by its cgroup; its first process and its descendants have a flag', async () => {
    const cgroup = `/sys/fs/cgroup/docker-${CONTAINER}.scope`
    mkdirSync(cgroup)
    const init = scriptFile([
      line('fork', 1),
      line('exec', '/bin/true', 'true', 'child'),
      line('exec', '/bin/true', 'true', 'init again'),
    ])
    const lines = await agent.during(async () => {
      const runtime = startAct([
        line('wait'),
        line('fork', 1),
        line('exec', '/bin/true', 'true', 'joined'),
        line('pidns'),
        line('fork', 1),
        line('exec', ACT, 'act', init),
      ])
      writeFileSync(join(cgroup, 'cgroup.procs'), String(runtime.pid))
      runtime.go()
      assert.equal((await runtime.ended).code, 0)
    })
    rmdirSync(cgroup)
    const docker = CONTAINER.slice(0, 31)
    assert.deepEqual(
      execs(lines).map(({ arguments: args, docker: id, in_init_tree: inTree, flags }) => [args, id, inTree, flags]),
      [
        [processOf(lines[0] ?? {}).arguments, undefined, false, 'execve clone'],
        ['joined', docker, false, 'execve clone'],
        [init, docker, true, 'execve clone inInitTree'],
        ['child', docker, true, 'execve clone inInitTree'],
        [' "init again"', docker, true, 'execve inInitTree'],
      ],
    )
  })

  for (const [name, want] of [
    [`cri-containerd-${CONTAINER}.scope`, CONTAINER.slice(0, 31)],
    [CONTAINER, CONTAINER.slice(0, 31)],
    [`docker-${CONTAINER}.service`, undefined],
    [`docker-${CONTAINER.slice(0, 40)}.scope`, undefined],
  ] as const) {
    test(`processes: a cgroup named ${name} is ${want === undefined ? 'no container' : 'a container'}`, async () => {
      const cgroup = `/sys/fs/cgroup/${name}`
      mkdirSync(cgroup)
      const lines = await agent.during(async () => {
        const act = startAct([line('wait'), line('exec', '/bin/true', 'true')])
        writeFileSync(join(cgroup, 'cgroup.procs'), String(act.pid))
        act.go()
        await act.ended
      })
      rmdirSync(cgroup)
      assert.equal(execs(lines).at(-1)?.docker, want)
    })
  }

  const count = LONG ? 2_000 : 500
  test(`processes: each of ${count} short ones has an exec and an exit record`, { timeout: 240_000 }, async (t) => {
    const startMs = performance.now()
    const lines = await agent.during(() => runAct([line('storm', count, ACT)]))
    t.diagnostic(`${count} forks, execs and exits in ${Math.round(performance.now() - startMs)} ms`)
    const storm = lines.filter((found) => processOf(found).arguments === '/dev/null storm')
    const started = execs(storm).map((found) => found.exec_id)
    const ended = exits(storm).map((found) => found.exec_id)
    assert.equal(started.length, count)
    assert.equal(new Set(started).size, count)
    assert.deepEqual(ended, started)
    const parent = execs(lines)[0]?.exec_id
    assert.ok(execs(storm).every((found) => found.parent_exec_id === parent && found.flags === 'execve clone'))
  })

  test('processes: nothing was lost and the accounting balances', async () => {
    const metrics = await agent.metrics()
    assert.deepEqual(metrics.losses(), [])
    assert.equal(metrics.sum('ktrail_accounting_imbalance_events'), 0)
    assert.deepEqual(await agent.stop(), { code: 0, signal: null })
  })
})
