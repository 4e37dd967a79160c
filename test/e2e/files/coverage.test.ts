/**
 * Every way to reach a file and every kind of access, by config/policies/optional/file-integrity.yaml: unchanged by identity, and with `Prefix` by
 * name. By identity, each way to a watched file must be reported, and no other. KTRAIL_COVERAGE_ON: file systems, default
 * tmpfs. With KTRAIL_COVERAGE=FOLDER the results go there as JSON, for docs/reference/coverage.md (`make coverage`).
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, linkSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import type { TestContext } from 'node:test'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { FILE_SYSTEMS, mountFileSystem } from './file-system.ts'
import type { FileSystem } from './file-system.ts'
import { INTEGRITY_CALLS, integrityPolicy } from './integrity.ts'
import { kernelAtLeast } from '../support/kernel.ts'
import type { ArgumentRecord, KprobeRecord } from '../support/record.ts'
import { CONTENT, METADATA, NONE, REFUSED, REFUSED_LATER } from './accesses.ts'
import type { Access } from './accesses.ts'
import { WAYS } from './ways.ts'
import type { Coverage, Way } from './ways.ts'
import { makeProgram } from '../../support/programs.ts'

/** docs/reference/kernels.md */
const NEEDS = 'SameFile and UnderDir need 5.17'
const skip = cannotRun() || (!kernelAtLeast(5, 17) && NEEDS)
if (skip !== false) console.log(`coverage: skipped: ${skip}`)
const RESULTS = process.env['KTRAIL_COVERAGE']
/** Without KTRAIL_COVERAGE only these functions are hooked: each costs seconds in an emulated guest. */
const FEW =
  /^(?:may_open|security_(?:file_permission|mmap_file|file_truncate|file_mprotect|path_truncate|path_rename)|vfs_(?:truncate|unlink|link|rename))$/
const isHooked = (call: string): boolean => RESULTS !== undefined || FEW.test(call)
const ON = FILE_SYSTEMS.filter((name) => (process.env['KTRAIL_COVERAGE_ON'] ?? 'tmpfs').split(' ').includes(name))

const isAsked = ({ calls }: Access): boolean =>
  INTEGRITY_CALLS.some((call) => isHooked(call) && calls?.test(call) === true)

/** Since Linux 6.8 a mapping of an overlay's file maps the layer's file (docs/reference/policy/files-by-identity.md). */
const isOfMapping = ({ calls }: Access): boolean => calls?.test('security_file_mprotect') === true

/** A group names functions that must be hooks of the policy. */
const integrity = (name: string, operator: string, values: readonly string[]): string =>
  integrityPolicy(name, operator, values, RESULTS === undefined ? isHooked : undefined)

interface Place {
  readonly on: FileSystem
  readonly watched: string
  readonly outside: string
}

/** The folders of one file system, with the files that the ways expect from before the policy. */
function prepared(on: FileSystem): Place {
  const top = mountFileSystem(on)
  const [watched, outside] = ['watched', 'outside'].map((name) => mkdtempSync(join(top, name)))
  if (watched === undefined || outside === undefined) assert.fail('no folders')
  for (const folder of [watched, outside]) chmodSync(folder, 0o777)
  for (const way of ['w_link_before', ...WAYS.filter(({ by }) => by === 'SameFile').map(({ name }) => name)]) {
    for (const folder of [watched, outside]) {
      mkdirSync(join(folder, way))
      chmodSync(join(folder, way), 0o777)
    }
    if (way !== 's_made_later') writeFileSync(join(watched, way, 'file'), 'x')
  }
  linkSync(join(watched, 'w_link_before', 'file'), join(outside, 'w_link_before', 'before'))
  return { on, watched, outside }
}

describe('coverage', { skip }, () => {
  let agent: TestAgent
  /** The process of each file system and way; 0: this kernel or file system does not have the way. */
  const done = new Map<string, number>()
  /** Folder of paths that appear, are mounted over and are replaced. */
  const changing = skip === false ? freshFolder('changing') : ''
  /** Records by process. */
  const records = new Map<number, KprobeRecord[]>()

  before(async () => {
    const built = freshFolder('reach')
    chmodSync(built, 0o755)
    const programs = ['reach', 'access'].map((name) => {
      const program = join(built, name)
      makeProgram(`e2e/${name}`, program)
      return program
    })
    const places = ON.map(prepared)
    const watched = places.map((place) => place.watched)
    const same = watched.flatMap((folder) =>
      WAYS.filter(({ by }) => by === 'SameFile').map(({ name }) => join(folder, name, 'file')),
    )
    mkdirSync(join(changing, 'mounted'))
    writeFileSync(join(changing, 'mounted', 'file'), 'x')
    writeFileSync(join(changing, 'replaced'), 'x')
    const later = ['later', 'much/later', 'mounted'].map((name) => join(changing, name))
    agent = await TestAgent.start({
      policies: {
        'name.yaml': integrity(
          'name',
          'Prefix',
          watched.map((folder) => `${folder}/`),
        ),
        'under-dir.yaml': integrity('under-dir', 'UnderDir', [...watched, ...later]),
        'same-file.yaml': integrity('same-file', 'SameFile', [...same, join(changing, 'replaced')]),
      },
      readyMs: 400_000,
    })
    const lines = await agent.during(() => {
      for (const place of places) {
        for (const program of programs) {
          const printed = execFileSync(program, [place.watched, place.outside], { encoding: 'utf8' })
          for (const line of printed.trim().split('\n')) {
            const [name = '', pid = ''] = line.split(' ')
            done.set(`${place.on} ${name}`, Number(pid))
          }
        }
      }
    })
    for (const { process_kprobe: event } of lines) {
      if (event === undefined) continue
      const pid = event.process?.pid ?? 0
      records.set(pid, [...(records.get(pid) ?? []), event])
    }
  })

  const recordsOf = (on: FileSystem, name: string): readonly KprobeRecord[] =>
    records.get(done.get(`${on} ${name}`) ?? 0) ?? []
  const reportedBy = (
    policy: string,
    on: FileSystem,
    name: string,
    matches: (record: KprobeRecord) => boolean,
  ): boolean | undefined => {
    const pid = done.get(`${on} ${name}`) ?? assert.fail(`${name} was not done on ${on}`)
    return pid === 0
      ? undefined
      : recordsOf(on, name).some((record) => record.policy_name === policy && matches(record))
  }
  const wayBy = (how: 'identity' | 'name', on: FileSystem, { name, by }: Way): boolean | undefined => {
    const policy = by === 'UnderDir' ? 'under-dir' : 'same-file'
    return reportedBy(how === 'name' ? 'name' : policy, on, name, () => true)
  }
  const accessBy = (policy: string, on: FileSystem, access: Access): boolean | undefined =>
    reportedBy(policy, on, access.name, ({ function_name: call = '', return: returned }) => {
      if (REFUSED.includes(access) && errorOf(returned) >= 0) return false
      return access.calls?.test(call) ?? true
    })
  const errorOf = (returned: ArgumentRecord | undefined): number => Number(returned?.int_arg ?? returned?.long_arg ?? 0)
  const functionsOf = (on: FileSystem, name: string): string =>
    recordsOf(on, name)
      .filter(({ policy_name: policy }) => policy === 'under-dir')
      .map(({ function_name: call, return: returned }) => `${call} ${JSON.stringify(returned)}`)
      .join(', ')

  after(async () => {
    if (RESULTS !== undefined && done.size > 0) {
      const accesses = [CONTENT, METADATA, REFUSED, REFUSED_LATER, NONE].flat()
      for (const on of ON) {
        const rows = [
          ...WAYS.map((way) => [way.name, wayBy('identity', on, way), wayBy('name', on, way)] as const),
          ...accesses.map((one) => [one.name, accessBy('under-dir', on, one), accessBy('name', on, one)] as const),
        ]
        const reported = Object.fromEntries(
          rows.map(([name, identity, named]) => [name, { identity: identity ?? null, name: named ?? null }]),
        )
        const coverage: Coverage = { kernel: release(), on, reported }
        const kernel = release().split('.').slice(0, 2).join('.')
        writeFileSync(join(RESULTS, `${kernel}-${on}.json`), JSON.stringify(coverage))
      }
    }
    await agent?.[Symbol.asyncDispose]()
  })

  for (const on of ON) {
    const got = (t: TestContext, reported: boolean | undefined, want: boolean, name: string): void => {
      if (reported === undefined) t.skip(`${on} or this kernel does not have it`)
      else assert.equal(reported, want, `reported: ${functionsOf(on, name)}`)
    }
    for (const way of WAYS) {
      test(`${on}: ${way.by} ${way.wanted ? 'reports' : 'does not report'} ${way.name}: ${way.words}`, (t) =>
        got(t, wayBy('identity', on, way), way.wanted, way.name))
    }
    for (const access of [...CONTENT, ...METADATA, ...REFUSED_LATER, ...REFUSED].filter(isAsked)) {
      const isSeen = !(on === 'overlay' && kernelAtLeast(6, 8) && isOfMapping(access))
      const title = `${isSeen ? 'reports' : 'does not report'} ${access.name}: ${access.words}`
      test(`${on}: ${title}${REFUSED.includes(access) ? ', refused' : ''}`, (t) =>
        got(t, accessBy('under-dir', on, access), isSeen, access.name))
    }
    for (const access of NONE) {
      test(`${on}: does not report ${access.name}: ${access.words}`, (t) =>
        got(t, accessBy('under-dir', on, access), false, access.name))
    }
    test(`${on}: a policy by name sees a file under its own path, and not under other paths`, () => {
      const named = (name: string): boolean | undefined => reportedBy('name', on, name, () => true)
      assert.equal(named('w_open'), true)
      for (const name of ['w_link_after', 'w_detached', 'w_chroot_nobody']) assert.notEqual(named(name), true, name)
    })
    test(`${on}: events show names as they were before the call removed or changed them`, () => {
      const argument = (name: string, call: RegExp, i: number): string => {
        const of = recordsOf(on, name).find(({ function_name: at = '' }) => call.test(at))
        return of?.args?.[i]?.path_arg?.path ?? ''
      }
      assert.match(argument('n_unlink', /^vfs_unlink$/, 0), /\/watched[^/]+\/n_unlink\/file$/)
      assert.match(argument('n_rename_out', /_rename$/, 0), /\/watched[^/]+\/n_rename_out\/file$/)
      assert.match(argument('n_rename_out', /_rename$/, 1), /\/outside[^/]+\/n_rename_out\/renamed$/)
    })
  }

  /** docs/reference/policy/files-by-identity.md has six seconds; a guest may wait longer for a CPU. */
  const ANEW_MS = 30_000
  /** Whether a policy reports a read of a file. */
  const isSeen = async (policy: string, path: string): Promise<boolean> => {
    const lines = await agent.during(() => execFileSync('cat', [path]))
    return lines.some(
      ({ process_kprobe: event }) => event?.policy_name === policy && event.process?.binary?.endsWith('/cat'),
    )
  }
  const until = (what: string, policy: string, path: string, wanted: boolean): Promise<true> =>
    agent.until(what, async () => (await isSeen(policy, path)) === wanted, ANEW_MS)

  test('a folder that appears is watched at once, and one below folders that appear within seconds', async () => {
    mkdirSync(join(changing, 'later'))
    writeFileSync(join(changing, 'later', 'file'), 'x')
    assert.equal(await isSeen('under-dir', join(changing, 'later', 'file')), true)
    mkdirSync(join(changing, 'much', 'later'), { recursive: true })
    writeFileSync(join(changing, 'much', 'later', 'file'), 'x')
    await until('a deeper folder', 'under-dir', join(changing, 'much', 'later', 'file'), true)
    rmSync(join(changing, 'later'), { recursive: true })
    mkdirSync(join(changing, 'later'))
    writeFileSync(join(changing, 'later', 'file'), 'x')
    assert.equal(await isSeen('under-dir', join(changing, 'later', 'file')), true)
  })

  test('a file system mounted over a watched folder is watched within seconds, and after the unmount the folder again', async () => {
    const [at, file] = [join(changing, 'mounted'), join(changing, 'mounted', 'file')]
    assert.equal(await isSeen('under-dir', file), true)
    execFileSync('mount', ['-t', 'tmpfs', 'none', at])
    writeFileSync(file, 'x')
    await until('the mounted folder', 'under-dir', file, true)
    execFileSync('umount', [at])
    await until('the folder below', 'under-dir', file, true)
  })

  test('a watched file that moves away is forgotten within seconds, and its replacement is watched at once', async () => {
    const [file, moved] = [join(changing, 'replaced'), join(changing, 'moved')]
    renameSync(file, moved)
    writeFileSync(file, 'y')
    assert.equal(await isSeen('same-file', file), true)
    await until('the moved file', 'same-file', moved, false)
    assert.equal(await isSeen('same-file', file), true)
  })

  test('the log has no other warnings', () => {
    const warnings = agent.log().filter(({ level = 0, msg = '' }) => level >= 40 && !msg.includes('do not exist'))
    assert.deepEqual(warnings, [])
  })
})
