/** The id of the host, of files below the root of its pid 1. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { machineId } from '../../../../collector/host/machine-id.ts'
import { Folder } from '../../exporters/support/folder.ts'

const ID = 'fdbf79e8af94cb7f9e8df36789187052'
const OTHER = '0c3a5b9d8e7f60718293a4b5c6d7e8f9'
const ETC = 'etc/machine-id'
const DBUS = 'var/lib/dbus/machine-id'

const rows: ReadonlyArray<readonly [name: string, files: Readonly<Record<string, string>>, want: string | undefined]> =
  [
    ['a host without one', {}, undefined],
    ['an id', { [ETC]: `${ID}\n` }, ID],
    ['an id without a line feed', { [ETC]: ID }, ID],
    ['two ids', { [ETC]: `${ID}\n`, [DBUS]: `${OTHER}\n` }, ID],
    ['an id of D-Bus alone', { [DBUS]: `${OTHER}\n` }, OTHER],
    ['a first boot', { [ETC]: 'uninitialized\n', [DBUS]: `${OTHER}\n` }, OTHER],
    ['an empty file, as images have', { [ETC]: '' }, undefined],
    ['zeros', { [ETC]: `${'0'.repeat(32)}\n` }, undefined],
    ['upper case', { [ETC]: ID.toUpperCase() }, undefined],
    ['one character less', { [ETC]: ID.slice(1) }, undefined],
    ['one character more', { [ETC]: `${ID}0` }, undefined],
    ['an id with a text behind', { [ETC]: `${ID}\nx` }, undefined],
    ['a file of 1 MiB', { [ETC]: ID.repeat(1 << 15) }, undefined],
    ['a file of 1 MiB of spaces behind the id', { [ETC]: ID.padEnd(1 << 20) }, ID],
  ]

function rootOf(folder: Folder): (name: string) => string {
  const at = (name: string): string => folder.at(`1/root/${name}`)
  for (const each of ['etc', 'var/lib/dbus']) mkdirSync(at(each), { recursive: true })
  return at
}

for (const [name, files, want] of rows) {
  test(`machine-id: ${name}`, () => {
    using folder = new Folder()
    const at = rootOf(folder)
    for (const [file, text] of Object.entries(files)) writeFileSync(at(file), text)
    assert.equal(machineId(folder.path), want)
  })
}

test('machine-id: a link is not followed, because it ends in the root of the agent', () => {
  using folder = new Folder()
  const at = rootOf(folder)
  writeFileSync(folder.at('own'), ID)
  symlinkSync(folder.at('own'), at(ETC))
  assert.equal(machineId(folder.path), undefined)
  writeFileSync(at(DBUS), OTHER)
  assert.equal(machineId(folder.path), OTHER)
})

test('machine-id: a pipe or a folder holds nobody up', { timeout: 10_000 }, () => {
  using folder = new Folder()
  const at = rootOf(folder)
  execFileSync('mkfifo', [at(ETC)])
  mkdirSync(at(DBUS))
  assert.equal(machineId(folder.path), undefined)
})

test('machine-id: a root that cannot be entered has none', () => {
  assert.equal(machineId('/nowhere'), undefined)
})
