/**
 * The executable of a process whose unprivileged user disguises it as another file or as none.
 * The record must name the file that was executed, and mark a file that no longer has a name.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { before, describe } from 'node:test'
import { promisify } from 'node:util'
import { cannotRun, freshFolder } from '../support/agent.ts'
import { PRELOADED, accessOf, target } from '../support/faults.ts'
import { UID, hostileBinary, opened } from '../support/hostile.ts'
import { fileHook, path, policy } from '../support/policy.ts'
import { processOf } from '../support/record.ts'
import type { Line, ProcessRecord } from '../support/record.ts'
import { sharedAgent } from './shared.ts'

const skip = cannotRun()
const folder = skip === false ? opened(freshFolder('forged')) : '/none'
const below = (...names: string[]): string => join(folder, ...names)
/** The folder is near the root, so that `..` can reach the root. */
const link = `/tmp/ktrail-deep-${process.pid}`
const user = { uid: UID, gid: UID }

const execs = (lines: readonly Line[]): ProcessRecord[] =>
  lines.filter((found) => found.process_exec !== undefined).map(processOf)
const unlinked = (record: ProcessRecord | undefined): boolean => {
  const inode = record?.binary_properties?.file?.inode
  return inode !== undefined && /^[1-9][0-9]*$/.test(inode.number ?? '') && inode.links === 0
}

describe('hostile forged paths', { skip }, () => {
  const agent = sharedAgent()

  /** Runs a program as the user; returns its exec records. */
  const running = async (file: string, args: readonly string[], cwd = folder): Promise<ProcessRecord[]> =>
    execs(await agent().during(() => promisify(execFile)(file, args, { ...user, cwd })))

  before(async () => {
    mkdirSync(below('1/2/3/4/5/6'), { recursive: true })
    symlinkSync(below('1/2/3/4/5/6'), link)
    mkdirSync(below('usr', 'sbin'), { recursive: true })
    copyFileSync('/bin/true', below('usr', 'sbin', 'sshd'))
    writeFileSync(below('usr', 'sbin', 'backup'), '#!/bin/sh\nexit 0\n')
    chmodSync(below('usr', 'sbin', 'backup'), 0o755)
    hostileBinary('forge')
  })

  for (const [what, program] of [
    ['a binary', 'sshd'],
    ['a script', 'backup'],
  ] as const) {
    test(`forged: ${what} behind a symlink and \`..\` has the path that the kernel resolved`, async () => {
      // Six levels above `deep` is the root; the kernel starts from the link's target.
      const [record] = await running(`${link}/${'../'.repeat(6)}usr/sbin/${program}`, [])
      assert.equal(record?.binary, below('usr', 'sbin', program))
    })
  }

  test('forged: a relative name while another process changes their shared working folder', async (t) => {
    let ran = 0
    const args = ['race', './sshd', below('usr', 'sbin'), '/usr/sbin', '40']
    const lines = await agent().during(async () => {
      ran = Number((await promisify(execFile)(hostileBinary('forge'), args, user)).stdout)
    })
    const names = execs(lines)
      .map(({ binary = '' }) => binary)
      .filter((binary) => binary.endsWith('/sshd'))
    const distinct = [...new Set(names)]
    t.diagnostic(`${ran} of 40 ran: ${JSON.stringify(distinct)}`)
    assert.ok(ran >= 3, 'no exec met a change of folder: the test shows nothing')
    assert.ok(names.length >= ran, `${names.length} records of ${ran} runs`)
    assert.deepEqual(distinct, [below('usr', 'sbin', 'sshd')])
  })

  test('forged: a file in memory is named as /proc does, and marked', async () => {
    const records = await running(hostileBinary('forge'), ['memory', '/bin/true'])
    const last = records.at(-1)
    assert.equal(last?.binary, '/memfd:forged (deleted)')
    assert.ok(unlinked(last), JSON.stringify(last))
    assert.ok(!unlinked(records[0]), 'an ordinary file is marked too')
  })

  test('forged: a deleted file is named by its last path, and marked', async () => {
    const own = below('own')
    mkdirSync(own)
    chmodSync(own, 0o777)
    const records = await running(hostileBinary('forge'), ['deleted', '/bin/true', join(own, 'copy')])
    assert.equal(records.at(-1)?.binary, `${join(own, 'copy')} (deleted)`)
    assert.ok(unlinked(records.at(-1)), JSON.stringify(records.at(-1)))
  })

  test('forged: a program that is executed by its absolute name keeps that name, even if it is a symlink', async () => {
    symlinkSync(below('usr', 'sbin', 'sshd'), below('link'))
    for (const name of ['link', 'usr/sbin/sshd', 'usr/sbin/backup']) {
      const [record] = await running(below(name), [])
      assert.equal(record?.binary, below(name))
      assert.ok(!unlinked(record))
    }
  })

  test('forged: with a preloaded library, each of 1,000 reads is recorded with the name of the program', async () => {
    const { folder: watched, file } = target()
    opened(watched)
    assert.equal(await agent().apply('preloaded', policy('preloaded', [fileHook([path('Prefix', watched)])])), 'added')
    const from = await agent().settled()
    const reads = `open F, shift or die; for (1 .. 1000) { sysread F, $b, 1; sysseek F, 0, 0 } open M, '/proc/self/maps'; print <M>`
    const env = { ...process.env, LD_PRELOAD: PRELOADED }
    const { stdout: maps } = await promisify(execFile)('/usr/bin/perl', ['-e', reads, file], { ...user, env })
    assert.match(maps, /\/libz\.so/)
    const to = await agent().settled()
    const recorded = agent()
      .texts()
      .slice(from, to)
      .filter((text) => text.startsWith('{"process_kprobe"') && text.includes(accessOf(file)))
    assert.equal(recorded.length, 1_000)
    assert.ok(recorded.every((text) => text.includes('"binary":"/usr/bin/perl"')))
  })
})
