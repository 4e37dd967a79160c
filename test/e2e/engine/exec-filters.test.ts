/**
 * Filters on the programs of calls during an exec. The kernel gives a process its new memory and credentials before it reports the exec, so calls in
 * between could be judged by either program. Each filter must judge the process that the record of the call names: the one before the exec.
 */
import assert from 'node:assert/strict'
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { processMatches } from '../../support/policies/process-filters.ts'
import type { ProcessFacts, ProcessFilters } from '../../support/policies/process-filters.ts'
import { actBinary, line, scriptFile, startAct } from '../support/act.ts'
import type { ActEnd, Acting } from '../support/act.ts'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { keep, lose } from '../guard/support/images.ts'
import { fileHook, path, policy } from '../support/policy.ts'
import type { Line, ProcessRecord } from '../support/record.ts'
import { until } from '../support/wait.ts'

const skip = cannotRun()
const top = skip === false ? freshFolder('execs') : '/none'
const at = (name: string): string => join(top, name)

const [ONE, TWO, THREE, SCRIPT, BROKEN, DATA] = [
  at('one'),
  at('two'),
  at('three'),
  at('script'),
  at('broken'),
  at('data/'),
]
const NODE = realpathSync(process.execPath)
const SHELL = realpathSync('/bin/sh')

/** All calls during an exec that a policy can hook: before its point of no return, and after it. */
const FUNCTIONS = [
  'security_bprm_check',
  'security_bprm_committing_creds',
  'commit_creds',
  'security_bprm_committed_creds',
]

const binaries = (operator: string, values: string[], followChildren = false): ProcessFilters => ({
  matchBinaries: [{ operator, values, followChildren }],
})
const parents = (operator: string, values: string[], followChildren = false): ProcessFilters => ({
  matchParentBinaries: [{ operator, values, followChildren }],
})

const ALL = 'all'
const ROWS: Readonly<Record<string, ProcessFilters>> = {
  [ALL]: {},
  In: binaries('In', [ONE]),
  'In, two': binaries('In', [TWO, SHELL]),
  NotIn: binaries('NotIn', [TWO]),
  Prefix: binaries('Prefix', [at('t')]),
  NotPostfix: binaries('NotPostfix', ['/two', '/one']),
  'In, followChildren': binaries('In', [TWO], true),
  'NotIn, followChildren': binaries('NotIn', [THREE], true),
  'parent In': parents('In', [ONE]),
  'parent NotIn': parents('NotIn', [ONE, NODE]),
  'parent In, followChildren': parents('In', [TWO], true),
}

/** Lines of a script; `@name` is one of the files. */
const script = (text: string): string[] =>
  text.split(', ').map((step) => {
    const [verb = '', ...words] = step.split(' ')
    return line(verb, ...words.map((word) => word.replace(/^@/, DATA)))
  })
/** The step that executes a program with this script. */
const run = (program: string, text: string): string => `exec ${program} ${program} ${scriptFile(script(text))}`
const runShell = `exec ${SCRIPT} ${SCRIPT}`

const SCENARIOS = (): Readonly<Record<string, string>> => ({
  'a chain of execs in one process': run(TWO, `read @chain-two, ${run(THREE, `read @chain-three, ${runShell}`)}`),
  'children of children': `fork 1, ${run(TWO, `read @fork-two, fork 1, ${run(THREE, 'read @fork-three')}, fork 1, ${runShell}`)}`,
  'a script': `fork 1, ${runShell}, read @script`,
  'an exec that fails': `denied exec ${BROKEN} ${BROKEN}, read @failed, fork 1, ${run(TWO, 'read @failed-two')}`,
  'a thread that is not the first': `thread 1, ${run(TWO, `read @thread-two, thread 1, ${run(THREE, 'read @thread-three')}`)}`,
  'a process that shares its working directory': `shared 1, ${run(TWO, `read @shared-two, shared 1, ${run(TWO, 'read @again')}`)}`,
  'an exec of the same program': run(ONE, `read @same, ${run(ONE, 'read @same-again')}`),
  'credentials without an exec': `euid 7, euid 0, fork 1, ${run(TWO, 'euid 7')}`,
})

const hook = (call: string, message: string, filters: object): object =>
  call === 'security_file_permission'
    ? { ...fileHook([]), message, selectors: [{ matchArgs: [path('Prefix', DATA)], ...filters }] }
    : { call, syscall: false, message, selectors: [filters] }

const programOf = (binary = ''): string => (binary === SCRIPT ? SHELL : binary)

/** The facts of a process by its records. `known`: all processes since the policy was loaded, by exec_id. */
function factsOf(of: ProcessRecord, known: ReadonlyMap<string, ProcessRecord>): ProcessFacts {
  const parent = known.get(of.parent_exec_id ?? '')
  return {
    program: programOf(of.binary),
    parent: programOf(parent?.binary),
    pid: of.pid ?? 0,
    innerPid: 0,
    before: parent === undefined ? undefined : factsOf(parent, known),
  }
}

const callsIn = (lines: readonly Line[]) =>
  lines.flatMap(({ process_kprobe: call }) => {
    if (call?.process === undefined) return []
    const { function_name: name = '', message = '', process, parent } = call
    return [{ name, message, process, parent, text: `${name} ${process.exec_id} ${process.binary}` }]
  })

const end = async (acting: Acting): Promise<ActEnd> => {
  acting.go()
  return acting.ended
}

const childOf = (pid: number): number => Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'))

describe('filters on programs during an exec', { skip }, () => {
  let agent: TestAgent
  let older: Acting

  before(async () => {
    for (const program of [ONE, TWO, THREE]) copyFileSync(actBinary(), program)
    writeFileSync(SCRIPT, '#!/bin/sh\nexit 0\n', { mode: 0o755 })
    writeFileSync(BROKEN, `#!${DATA}failed\n`, { mode: 0o755 })
    mkdirSync(DATA)
    const names = Object.values(SCENARIOS()).join(' ').concat(' @older-two @survives @killed')
    for (const [, name = ''] of names.matchAll(/@([\w-]+)/g)) writeFileSync(DATA + name, 'x')
    for (const name of 'chain-two chain-three fork-two fork-three failed-two thread-two thread-three shared-two again same same-again lost'.split(
      ' ',
    ))
      writeFileSync(DATA + name, 'x')
    chmodSync(`${DATA}failed`, 0o644)
    older = startAct(script(`wait, ${run(TWO, 'read @older-two')}`), { binary: ONE })
    agent = await TestAgent.start()
  })
  after(() => agent?.stop())

  test('exec: each filter judges the process that the record names', async () => {
    const hooks = [...FUNCTIONS, 'security_file_permission'].flatMap((call) =>
      Object.entries(ROWS).map(([message, filters]) => hook(call, message, filters)),
    )
    const verdict = await agent.apply('execs', policy('execs', hooks))
    assert.equal(verdict, 'added', JSON.stringify(agent.log().at(-1)))
    let chain = 0
    const lines = await agent.during(async () => {
      assert.equal((await end(older)).code, 0)
      for (const [name, steps] of Object.entries(SCENARIOS())) {
        const ended = await startAct(script(steps), { binary: ONE }).ended
        assert.equal(ended.code, 0, name)
        chain ||= ended.pid
      }
    })
    const calls = callsIn(lines)
    const known = new Map<string, ProcessRecord>()
    for (const { process, parent } of [...calls, ...lines.flatMap(({ process_exec: each }) => each ?? [])]) {
      for (const each of [process, parent]) if (each !== undefined) known.set(each.exec_id ?? '', each)
    }
    const all = calls.filter(({ message }) => message === ALL)
    for (const name of FUNCTIONS) {
      const programs = all.filter((call) => call.name === name && call.process.pid === chain)
      assert.deepEqual(
        programs.map(({ process }) => process.binary),
        // With the script comes its interpreter, which is another file to check.
        [NODE, ONE, TWO, THREE, ...(name === 'security_bprm_check' ? [THREE] : [])],
        name,
      )
    }
    for (const [message, filters] of Object.entries(ROWS)) {
      const expected = all.filter(({ process }) => processMatches(filters, factsOf(process, known)))
      assert.deepEqual(
        calls.filter((call) => call.message === message).map(({ text }) => text),
        expected.map(({ text }) => text),
        message,
      )
      assert.ok(expected.length > 0 && (message === ALL || expected.length < all.length), message)
    }
    await agent.withdraw('execs')
  })

  test('exec: a kill hits only the process that its filter names', async () => {
    const kill = (filters: ProcessFilters): object =>
      hook('commit_creds', 'kill', { ...filters, matchActions: [{ action: 'Sigkill' }] })
    const [survives, killed] = [`read @survives`, 'read @killed']
    const rows: ReadonlyArray<readonly [name: string, filters: ProcessFilters, steps: string]> = [
      ['its program', binaries('In', [THREE]), run(THREE, `${survives}, ${run(TWO, killed)}`)],
      [
        'its program, in a thread',
        binaries('In', [THREE]),
        `thread 1, ${run(THREE, `${survives}, thread 1, ${run(TWO, killed)}`)}`,
      ],
      ["its parent's program", parents('In', [ONE]), run(TWO, `${survives}, ${run(THREE, killed)}`)],
      ["an ancestor's program", binaries('In', [TWO], true), run(TWO, `${survives}, ${run(THREE, killed)}`)],
    ]
    assert.equal(await agent.apply('reads', policy('reads', [hook('security_file_permission', 'read', {})])), 'added')
    for (const [name, filters, steps] of rows) {
      assert.equal(await agent.apply('kill', policy('kill', [kill(filters)])), 'added', name)
      const lines = await agent.during(async () => {
        const { signal } = await startAct(script(steps), { binary: ONE }).ended
        assert.equal(signal, 'SIGKILL', name)
      })
      const read = callsIn(lines).flatMap(({ message, process }) => (message === 'read' ? [process.binary] : []))
      const by = steps.includes(`exec ${THREE}`) ? THREE : TWO
      assert.deepEqual(read, [by], name)
      await agent.withdraw('kill')
    }
  })

  test('exec: a process whose program is not known passes each filter, without an action', async () => {
    const rows = Object.entries(ROWS).filter(([, { matchParentBinaries }]) => matchParentBinaries === undefined)
    const hooks = rows.map(([message, filters]) => hook('commit_creds', message, filters))
    const kill = hook('commit_creds', 'kill', {
      ...binaries('Prefix', [at('t')]),
      matchActions: [{ action: 'Sigkill' }],
    })
    const waits = (name: string): string => `create ${at(name)}, wait`
    // The kernel has not run the agent's program for the fork of one, and for the first exec of the other.
    const forked = startAct(script(`wait, fork 3, ${waits('forked')}, ${run(TWO, waits('survives'))}`), { binary: ONE })
    const executed = startAct(
      script(
        `wait, euid 7, euid 0, ${waits('ready')}, ${run(THREE, `${waits('executed')}, ${run(TWO, waits('survives-too'))}`)}`,
      ),
      { binary: ONE },
    )
    let child = 0
    const lines = await agent.during(async () => {
      assert.equal(await agent.apply('lost', policy('lost', [...hooks, kill])), 'added')
      forked.go()
      await until('the fork', () => existsSync(at('forked')))
      child = childOf(forked.pid)
      lose(child)
      forked.go()
      await until('the exec after the fork', () => existsSync(at('survives')))
      executed.go()
      await until('the first call', () => existsSync(at('ready')))
      const putBack = keep(executed.pid)
      executed.go()
      await until('the first exec', () => existsSync(at('executed')))
      putBack()
      executed.go()
      await until('the second exec', () => existsSync(at('survives-too')))
      for (const each of [forked, executed]) assert.equal((await end(each)).code, 0)
    })
    const unknown = callsIn(lines).filter(
      ({ process }) => process.pid === child || (process.pid === executed.pid && process.binary === THREE),
    )
    const messages = [...rows.map(([message]) => message), 'kill']
    assert.deepEqual(
      unknown.map(({ message, process }) => `${message} ${process.binary}`),
      [ONE, THREE].flatMap((program) => messages.map((message) => `${message} ${program}`)),
    )
    assert.deepEqual((await agent.metrics()).losses(), [])
  })
})
