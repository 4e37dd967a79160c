/** The details that `fileDetails` adds to events, compared with the results of `stat` and with the process's own view of the same files. */
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after, before, describe } from 'node:test'
import { promisify } from 'node:util'
import { line, runAct } from '../support/act.ts'
import { TestAgent, cannotRun, freshFolder } from '../support/agent.ts'
import { kernelAtLeast } from '../support/kernel.ts'
import { policy } from '../support/policy.ts'
import type { Line } from '../support/record.ts'
import { mountFileSystem } from './file-system.ts'

const skip = cannotRun()
const byIdentity = kernelAtLeast(5, 17)

interface Details {
  readonly inode?: string
  readonly device?: string
  readonly named?: string
  readonly links?: number
  readonly generation?: number
  readonly size?: string
  readonly changed?: string
  readonly mount_id?: number
  readonly detached?: boolean
  readonly deleted?: boolean
  readonly partial?: readonly string[]
  readonly overlay?: { readonly layer: string; readonly inode: string; readonly device: string }
  readonly hash?: {
    readonly sha256?: string
    readonly size?: string
    readonly changed?: string
    readonly missing?: string
  }
}
type Told = Line & { readonly ktrail?: { readonly access?: string; readonly files?: readonly Details[] } }

const hook = (call: string, type: string, more: object): object => ({
  call,
  syscall: false,
  args: [{ index: 0, type }],
  ...more,
})
const named = (operator: string, ...values: string[]): object => ({
  selectors: [{ matchArgs: [{ index: 0, operator, values }] }],
})
const own = (text: string): string => text.replace('cilium.io/', 'ktrail.dev/')

describe('details of files', { skip }, () => {
  let agent: TestAgent
  const watched = skip === false ? freshFolder('details') : ''
  const outside = skip === false ? freshFolder('details-outside') : ''
  const disk = skip === false ? join(mountFileSystem('ext4'), 'details') : ''

  before(async () => {
    mkdirSync(disk)
    // The module must be loaded before the programs.
    mountFileSystem('overlay')
    writeFileSync(join(disk, 'file'), 'on a disk')
    writeFileSync(join(watched, 'plain'), 'twelve bytes')
    writeFileSync(join(watched, 'linked'), 'x')
    symlinkSync(watched, join(outside, 'to-watched'))
    const both = { fileDetails: true, message: 'details' }
    agent = await TestAgent.start({
      policies: {
        'path.yaml': own(
          policy('path', [
            hook('security_file_permission', 'file', { ...both, ...named('Prefix', `${watched}/`, `${disk}/`) }),
            hook('security_path_chmod', 'path', { ...both, ...named('Prefix', `${watched}/`) }),
          ]),
        ),
        'hash.yaml': own(
          policy('hash', [
            {
              ...hook('vfs_write', 'file', {
                fileDetails: { hash: 'sha256', maxBytes: '64KiB' },
                ...named('Prefix', `${watched}/`, `${disk}/`),
              }),
              return: true,
              returnArg: { index: 0, type: 'long' },
            },
          ]),
        ),
        // A policy on the same function, without details.
        'plain.yaml': policy('plain', [hook('security_file_permission', 'file', named('Prefix', `${watched}/plain`))]),
        ...(byIdentity && {
          'identity.yaml': own(
            policy('identity', [
              hook('security_file_open', 'file', { ...both, ...named('UnderDir', join(outside, 'to-watched')) }),
            ]),
          ),
          'same.yaml': own(
            policy('same', [
              hook('security_file_open', 'file', { ...both, ...named('SameFile', join(watched, 'linked')) }),
            ]),
          ),
        }),
      },
      archive: { format: 'extended' },
    })
  })
  after(() => agent[Symbol.asyncDispose]())

  async function told(lines: readonly string[], by: string): Promise<Array<Details & { readonly path: string }>> {
    const events = await agent.during(async () => {
      await runAct(lines)
    })
    return (events as Told[]).flatMap((event) => {
      const kprobe = event.process_kprobe
      const file = kprobe?.args?.[0]?.file_arg ?? kprobe?.args?.[0]?.path_arg
      if (kprobe?.policy_name !== by) return []
      return [{ ...event.ktrail?.files?.[0], path: file?.path ?? '' }]
    })
  }

  const expected = (path: string): Details => {
    const { ino, nlink, size, ctimeNs } = statSync(path, { bigint: true })
    const changed = new Date(Number(ctimeNs / 1_000_000n)).toISOString().slice(0, 19)
    return { inode: String(ino), links: Number(nlink), size: String(size), changed }
  }
  const compared = ({ inode, links, size, changed = '' }: Details): object => ({
    inode,
    links,
    size,
    changed: changed.slice(0, 19),
  })

  test('link count, size and change time equal those of stat, to the nanosecond', async () => {
    for (const path of [join(watched, 'plain'), join(disk, 'file')]) {
      const [file = assert.fail('no event')] = await told([line('read', path)], 'path')
      assert.deepEqual(compared(file), expected(path))
      const nsec = String(statSync(path, { bigint: true }).ctimeNs % 1_000_000_000n).padStart(9, '0')
      const digits = /\.(\d+)Z$/.exec(file.changed ?? '')?.[1] ?? ''
      assert.equal(digits.padEnd(9, '0'), nsec)
    }
  })

  test('the generation equals that of the file system, and differs between a file and its successor', async () => {
    const [file = assert.fail('no event')] = await told([line('read', join(disk, 'file'))], 'path')
    const version = execFileSync('lsattr', ['-v', join(disk, 'file')], { encoding: 'utf8' })
      .trim()
      .split(/\s+/)[0]
    assert.equal(String(file.generation), version)
  })

  test('the mount is the one that the process sees', async () => {
    const [file = assert.fail('no event')] = await told([line('read', join(disk, 'file'))], 'path')
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8').trim().split('\n')
    const at = mounts.map((mount) => mount.split(' ')).findLast((words) => disk.startsWith(`${words[4]}/`))
    assert.equal(String(file.mount_id), at?.[0])
    assert.equal(file.detached, undefined)
  })

  test('a policy on the same function without fileDetails has no details', async () => {
    const [file = assert.fail('no event')] = await told([line('read', join(watched, 'plain'))], 'plain')
    assert.deepEqual(Object.keys(file).toSorted(), ['arg', 'device', 'inode', 'path'])
  })

  test('a path argument has details, as a file argument', async () => {
    chmodSync(join(watched, 'plain'), 0o640)
    const [file = assert.fail('no event')] = await told([line('chmod', join(watched, 'plain'), 0o600)], 'path')
    assert.deepEqual([file.links, file.size], [1, '12'])
  })

  test('a file of a detached mount has an incomplete path', async () => {
    const at = join(watched, 'lazy')
    // In the mount there is a folder of the same path as the watched one.
    const inner = watched.split('/').slice(1)
    const files = await told(
      [
        line('private'),
        line('mkdir', at),
        line('mount', 'tmpfs', at),
        ...inner.map((_, i) => line('mkdir', join(at, ...inner.slice(0, i + 1)))),
        line('open', 0, join(at, watched, 'f')),
        line('readfd', 0),
        line('umount', at),
        line('readfd', 0),
      ],
      'path',
    )
    assert.deepEqual(
      files.map(({ path, detached, partial }) => ({ path, detached, partial })),
      [
        { path: join(at, watched, 'f'), detached: undefined, partial: undefined },
        { path: join(watched, 'f'), detached: true, partial: ['detached_mount'] },
      ],
    )
  })

  test(
    'overlay: the layer, and the inode with the content there',
    { skip: !kernelAtLeast(5, 11) && 'no types of modules before 5.11' },
    async () => {
      const [lower, upper, work, merged] = ['lower', 'upper', 'work', 'merged'].map((name) => join(disk, name))
      if (!lower || !upper || !work || !merged) assert.fail('no folders')
      for (const folder of [lower, upper, work, merged]) mkdirSync(folder)
      writeFileSync(join(lower, 'low'), 'low')
      writeFileSync(join(upper, 'up'), 'up')
      const real = (path: string): string => String(statSync(path, { bigint: true }).ino)
      const files = await told(
        [
          line('private'),
          line('mount', 'overlay', merged, `lowerdir=${lower},upperdir=${upper},workdir=${work}`),
          line('read', join(merged, 'low')),
          line('read', join(merged, 'up')),
        ],
        'path',
      )
      const layers = files.flatMap(({ overlay }) => (overlay === undefined ? [] : [[overlay.layer, overlay.inode]]))
      assert.deepEqual(layers, [
        ['lower', real(join(lower, 'low'))],
        ['upper', real(join(upper, 'up'))],
      ])
    },
  )

  const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex')
  /** Hashes of this many calls. The events of one process wait for their hashes while those of others pass. */
  async function hashesOf(calls: number, ...command: readonly string[]): Promise<Array<NonNullable<Details['hash']>>> {
    const from = await agent.settled()
    const [program = '', ...words] = command
    await promisify(execFile)(program, words)
    return agent.until(`${calls} hashes`, () => {
      const found = (agent.lines().slice(from) as Told[]).flatMap(({ process_kprobe: kprobe, ktrail }) =>
        kprobe?.policy_name === 'hash' ? (ktrail?.files?.[0]?.hash ?? assert.fail('no hash')) : [],
      )
      return found.length < calls ? undefined : found
    })
  }

  test('the hash of a file’s content after the call, even if the program has ended', async () => {
    for (const path of [join(watched, 'hashed'), join(disk, 'hashed')]) {
      const [hash = assert.fail('no event')] = await hashesOf(1, 'sh', '-c', `printf 'some content' >"$0"`, path)
      const { sha256: got, size, changed = '' } = hash
      const want = [sha256(path), '12', expected(path).changed]
      assert.deepEqual([got, size, changed.slice(0, 19)], want, JSON.stringify(hash))
    }
  })

  test('the hash of a file of an overlay in a mount namespace', async () => {
    const [lower, upper, work, merged] = ['h-lower', 'h-upper', 'h-work', 'h-merged'].map((name) => join(disk, name))
    if (!lower || !upper || !work || !merged) assert.fail('no folders')
    for (const folder of [lower, upper, work, merged]) mkdirSync(folder)
    const mount = `mount -t overlay overlay -o lowerdir=${lower},upperdir=${upper},workdir=${work} ${merged}`
    const script = `${mount} && printf x >${merged}/f && sleep 3`
    const [hash = assert.fail('no event')] = await hashesOf(1, 'unshare', '-m', 'sh', '-c', script)
    assert.equal(hash.sha256, sha256(join(upper, 'f')), JSON.stringify(hash))
  })

  test('a file that is too large or has no name has no hash', async () => {
    const script = `exec 3>"$1"; rm "$1"; printf x >&3; head -c 65537 /dev/zero >"$0"`
    const files = [join(watched, 'large'), join(watched, 'gone')]
    // head writes in parts, and the last part makes the file too large.
    const [gone] = await hashesOf(1, 'sh', '-c', script, ...files)
    assert.equal(gone?.missing, 'no_path')
    const [larger] = await hashesOf(1, 'sh', '-c', 'printf x >>"$0"', join(watched, 'large'))
    assert.equal(larger?.missing, 'too_large')
  })

  test('a thousand files: each event has its own details', async () => {
    const script = 'for i in $(seq 1000); do printf $i >"$0/many-$i"; done'
    const beganMs = performance.now()
    const all = await hashesOf(1000, 'sh', '-c', script, watched)
    const counts = new Map<string, number>()
    for (const { sha256: got, missing } of all) {
      const what = got === undefined ? (missing ?? assert.fail('neither a hash nor why there is none')) : 'hash'
      counts.set(what, (counts.get(what) ?? 0) + 1)
    }
    const summary = [...counts].map(([what, count]) => `${count} ${what}`).join(', ')
    console.log(`1000 files within ${Math.round(performance.now() - beganMs)} ms: ${summary}`)
    // An emulated guest hashes few files; no event is lost, and each one without a hash has a reason.
    for (const what of counts.keys()) assert.match(what, /^(?:hash|busy|late)$/)
    const [last] = await hashesOf(1, 'sh', '-c', 'printf x >"$0"', join(watched, 'after'))
    assert.equal(last?.sha256, sha256(join(watched, 'after')), JSON.stringify(last))
  })

  test(
    'by identity: the path as the policy names it, beside the one that the process used',
    { skip: !byIdentity && 'SameFile and UnderDir need 5.17' },
    async () => {
      const other = join(outside, 'other')
      const lines = [
        line('link', join(watched, 'linked'), other),
        line('read', join(watched, 'plain')),
        line('read', other),
        line('read', join(watched, 'linked')),
      ]
      const shown = (files: Awaited<ReturnType<typeof told>>): unknown[] =>
        files.map(({ path, named: by, links }) => [path, by, links])
      assert.deepEqual(shown(await told(lines, 'identity')), [
        [join(watched, 'plain'), join(outside, 'to-watched'), 1],
        [other, join(outside, 'to-watched'), 2],
        [join(watched, 'linked'), join(outside, 'to-watched'), 2],
      ])
      assert.deepEqual(shown(await told(lines.slice(1), 'same')), [
        [other, join(watched, 'linked'), 2],
        [join(watched, 'linked'), join(watched, 'linked'), 2],
      ])
    },
  )
})
