/**
 * Attacks on a real kernel, with one agent that has the policies of the library: each must be reported by its policy, with its file, under the file's
 * name, under a hard link and from a container; the ordinary access must not be. `make library` runs all, also on a kernel without bpf_loop, where
 * most match by name; `make test` three that the commit chooses.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { basename } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { TestAgent, cannotRun } from '../e2e/support/agent.ts'
import { kernelAtLeast } from '../e2e/support/kernel.ts'
import type { Line } from '../e2e/support/record.ts'
import { ATTACKS } from './attacks.ts'
import type { Attack } from './attacks.ts'
import { BY_NAME, LEFT_OUT } from './page.ts'
import { HOST, forgetsFiles, linkOf, mountsSince, prepare, runs, runsInside, tries, triesAs } from './guest.ts'
import type { Try } from './guest.ts'
import { WAYS } from './ways.ts'

const FOLDER = new URL('../../config/policies/library/', import.meta.url)
const SAMPLE = 3
/** The mark of files with several links, until the agent has searched the folders of all policies for links. */
const UNCERTAIN = 'unresolvedPathComponents'
/** `all`, or names with commas between. */
const WANTED = process.env['KTRAIL_LIBRARY']
const ALL = WANTED === 'all'
/** Each policy that is loaded takes a second in an emulated guest. */
const READY_MS = 800_000
/** Longest wait for events that are counted, whose windows are up to half a minute. */
const SEEN_MS = 40_000

const textOf = (name: string): string => readFileSync(new URL(`${name}.yaml`, FOLDER), 'utf8')
const policies = readdirSync(FOLDER).map((file) => basename(file, '.yaml'))

/** Three policies by the hash of the commit, so that each has its turn. */
function sample(): string[] {
  // Root in a guest is not the owner of the checkout.
  const git = ['-c', 'safe.directory=*', 'rev-parse', 'HEAD']
  const commit = spawnSync('git', git, { encoding: 'utf8' }).stdout.trim()
  const rank = (name: string): string =>
    createHash('sha256')
      .update(commit + name)
      .digest('hex')
  const chosen = policies.toSorted((a, b) => rank(a).localeCompare(rank(b))).slice(0, SAMPLE)
  console.log(`attacks on ${chosen.join(', ')}, by the commit ${commit}; make library runs all ${policies.length}`)
  return chosen
}

/** Names of files and texts among the arguments, by policy. */
function reported(lines: readonly Line[]): Map<string, string[]> {
  const found = new Map<string, string[]>()
  for (const { process_kprobe: event } of lines) {
    const name = event?.policy_name ?? ''
    if (event !== undefined)
      found.set(name, [...(found.get(name) ?? []), `${event.process?.binary} ${JSON.stringify(event.args ?? [])}`])
  }
  return found
}

const skip = cannotRun()
/** Without bpf_loop: policies match by name, or are left out. */
const old = skip === false && !kernelAtLeast(5, 17)
const OUT = new URL(`../../build/library/${old ? 'old-' : ''}attacks.json`, import.meta.url)
const leftOut = (name: string): boolean => old && /^ +aggregate:/m.test(textOf(name)) && !isFitted(name, 'no-aggregate')
const isFitted = (name: string, way: string): boolean => new RegExp(`without-bpf-loop: .*${way}`).test(textOf(name))
const isByName = ({ policy }: Attack): boolean => old && isFitted(policy, 'by-name')

const chosen = (ALL ? policies : (WANTED?.split(',') ?? sample())).filter((name) => !leftOut(name))
const attacks = ATTACKS.filter(({ policy }) => chosen.includes(policy))
/** A policy that matches by name there sees the ways of the name that it has. */
const ways = WAYS.filter(({ policy }) => chosen.includes(policy) && !(old && isFitted(policy, 'by-name')))
/** By policy, way and user: `yes`, `no`, or `none` if there is no such way here. */
const tried: Record<string, Record<string, Record<string, string>>> = {}
const WAYS_OUT = new URL(`../../build/library/${old ? 'old-' : ''}ways.json`, import.meta.url)
const results: Record<string, Record<string, string>> = Object.fromEntries(
  policies.filter(leftOut).map((name) => [name, { name: LEFT_OUT }]),
)

describe('library', { skip }, () => {
  let agent: TestAgent
  let missing: ReadonlySet<string> = new Set()
  const leave = new DisposableStack()
  before(async () => {
    leave.use(mountsSince())
    leave.use(forgetsFiles())
    missing = prepare(
      attacks,
      ways.flatMap(({ excepted }) => excepted?.as ?? []),
    )
    for (const { file } of attacks.filter(({ listens }) => listens)) {
      const server = createServer().listen(file)
      leave.defer(() => void server.close())
    }
    const texts = chosen.map((name) => [`${name}.yaml`, textOf(name)] as const)
    const from = performance.now()
    agent = await TestAgent.start({ policies: Object.fromEntries(texts), readyMs: READY_MS })
    console.log(`${chosen.length} policies: ready after ${Math.round((performance.now() - from) / 1000)} s`)
  })
  after(async () => {
    const ended = await agent?.stop()
    leave.dispose()
    assert.deepEqual(ended, { code: 0, signal: null })
    if (ALL) writeFileSync(OUT, JSON.stringify(results, undefined, 2))
    if (ALL) writeFileSync(WAYS_OUT, JSON.stringify(tried, undefined, 2))
  })

  /** The attacks that no event of their policy names. Counted events come when their process has ended. */
  async function unseen(
    way: string,
    each: readonly Attack[],
    does: () => void,
    fileOf: (attack: Attack) => string,
  ): Promise<string[]> {
    const from = await agent.settled()
    does()
    await agent.settled()
    const found = (): ReadonlyMap<string, readonly string[]> => reported(agent.lines().slice(from))
    const sees = (attack: Attack): boolean =>
      found()
        .get(attack.policy)
        ?.some((args) => args.includes(attack.shows ?? `/${basename(fileOf(attack))}`)) === true
    await agent.until('each attack', () => each.every(sees), SEEN_MS).catch(() => {})
    return each.flatMap((attack) => {
      const row = (results[attack.policy] ??= {})
      row[way] = sees(attack) && row[way] !== 'no' ? 'yes' : 'no'
      return sees(attack)
        ? []
        : [`${attack.policy}: ${fileOf(attack)}, got ${found().get(attack.policy)?.join(' ') ?? 'no event'}`]
    })
  }

  /** Attacks that are no attack in this way are shown with the reason. */
  function without(way: string, why: (attack: Attack) => string | undefined): readonly Attack[] {
    for (const attack of attacks) {
      const reason = why(attack)
      if (reason === undefined) continue
      console.log(`${attack.policy}: not by ${way}: ${reason}`)
      ;(results[attack.policy] ??= {})[way] ??= reason
    }
    return attacks.filter((attack) => why(attack) === undefined)
  }

  it('every policy has an attack', () => {
    assert.deepEqual(
      policies.filter((name) => !ATTACKS.some(({ policy }) => policy === name)),
      [],
    )
    assert.deepEqual(
      ATTACKS.filter(({ policy }) => !existsSync(new URL(`${policy}.yaml`, FOLDER))),
      [],
    )
  })

  it('an ordinary access has no event of the policy', async () => {
    const each = attacks.filter(({ ordinary }) => !missing.has(ordinary.as ?? ''))
    for (const as of missing) console.log(`not run: this machine has no ${as}`)
    const lines = await agent.during(() => each.forEach(({ file, ordinary }) => runs(ordinary.does, file, ordinary.as)))
    const found = reported(lines.filter((line) => !JSON.stringify(line).includes(UNCERTAIN)))
    assert.deepEqual(
      each.filter(({ policy }) => found.has(policy)).map(({ policy }) => [policy, found.get(policy)]),
      [],
    )
  })

  it('each attack is reported under the name of the file', async () => {
    // The page shows them, although the test passes.
    const others = (policy: string): readonly Attack[] => attacks.filter((attack) => attack.policy === policy)
    for (const { policy } of attacks.filter((attack) => old && attack.old !== undefined))
      if (others(policy).every((attack) => attack.old !== undefined)) (results[policy] ??= {})['name'] = 'no'
    const each = without('name', (attack) => attack.outside?.not ?? (old ? attack.old?.not : undefined))
    const does = (): void => each.forEach((attack) => runs(attack.does, attack.file, attack.as))
    assert.deepEqual(await unseen('name', each, does, ({ file }) => file), [])
  })

  it('each attack is reported under a hard link', async () => {
    const each = without(
      'link',
      (attack) =>
        attack.outside?.not ??
        (typeof attack.linked === 'object' ? attack.linked.not : isByName(attack) ? BY_NAME : undefined),
    )
    const does = (): void =>
      each.forEach((attack) => {
        const { from, to } = linkOf(attack)
        execFileSync('ln', ['-f', from, to])
        runs(attack.does, to, attack.as)
      })
    assert.deepEqual(await unseen('link', each, does, (attack) => linkOf(attack).to), [])
  })

  it('each attack is reported from a container', async () => {
    const each = without('container', (attack) =>
      typeof attack.inside === 'object' ? attack.inside.not : isByName(attack) ? BY_NAME : undefined,
    )
    const does = (): void =>
      runsInside(
        each.map(({ does: usual, inside, file }) => ({
          commands: typeof inside === 'string' ? inside : usual,
          file: HOST + file,
        })),
      )
    assert.deepEqual(await unseen('container', each, does, ({ file }) => file), [])
  })

  /** The marks that an event of their policy has. */
  const seenOf = (all: readonly Try[], lines: readonly Line[]): ReadonlySet<string> =>
    new Set(
      all
        .filter(({ row, mark }) =>
          lines.some(
            ({ process_kprobe: event }) =>
              event?.policy_name === row.policy && event.process?.arguments?.endsWith(mark) === true,
          ),
        )
        .map(({ mark }) => mark),
    )

  it('each way to change what a policy watches is reported, except those that its head names', async () => {
    const all = ways.flatMap((row) =>
      row.users.flatMap((user) =>
        row.ways.map((way): Try => ({ row, way, user, mark: `${row.policy}/${way}/${user}` })),
      ),
    )
    let none: ReadonlySet<string> = new Set()
    const lines = await agent.during(() => {
      none = tries(all)
    })
    const seen = seenOf(all, lines)
    for (const { row, way, user, mark } of all)
      ((tried[row.policy] ??= {})[way] ??= {})[user] = none.has(mark) ? 'none' : seen.has(mark) ? 'yes' : 'no'
    const wrong = all.filter(({ row, way, mark }) => !none.has(mark) && seen.has(mark) === row.missed.includes(way))
    console.log(`${all.length} ways, ${none.size} of them not here, ${seen.size} reported`)
    assert.deepEqual(
      wrong.map(({ mark }) => `${mark}: ${seen.has(mark) ? 'reported' : 'missed'}`),
      [],
    )
  })

  it('a way that an excepted program starts is hidden if the exception has followChildren', async () => {
    const all = ways.flatMap((row) => {
      const { policy, excepted, ways: own } = row
      if (excepted === undefined || missing.has(excepted.as)) return []
      const way = own.includes('open_truncate') ? 'open_truncate' : (own[0] ?? '')
      return [{ excepted, each: { row, way, user: 'root', mark: `${policy}/${way}/excepted` } satisfies Try }]
    })
    const lines = await agent.during(() => all.forEach(({ excepted, each }) => triesAs(excepted.as, each)))
    const seen = seenOf(
      all.map(({ each }) => each),
      lines,
    )
    const got = all.map(({ excepted, each: { row, mark } }) => {
      const is = seen.has(mark) ? 'reported' : 'hidden'
      ;((tried[row.policy] ??= {})['excepted'] ??= {})[excepted.as] = is
      return [mark, is]
    })
    assert.deepEqual(
      got,
      all.map(({ excepted, each }) => [each.mark, excepted.is]),
    )
  })
})
