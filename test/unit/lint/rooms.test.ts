/** The rows of the lint rule `rooms`: each folder has one, the floors rise, no row allows more than is used, and the picture shows them. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { FILE, withPicture } from '../../support/lint/picture.ts'
import { ROWS, allows, rowOf } from '../../support/lint/rooms.ts'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const HOUSES = ['config', 'exporters', 'collector']
const FILES = globSync([...HOUSES.map((house) => `${house}/**/*.{ts,js}`), 'bpf/{*,*/*}.{h,c}'], { cwd: ROOT }).filter(
  (file) => !file.includes('node_modules'),
)

/** Files that a file imports, relative to the root. */
function importsOf(file: string): string[] {
  const text = readFileSync(path.join(ROOT, file), 'utf8')
  const pattern = file.startsWith('bpf/') ? /^#include "([^"]+)"/gm : /(?:\bfrom\s+|\bimport\(?\s*)'(\.{1,2}\/[^']+)'/g
  const specifiers = [...text.matchAll(pattern)].map(([, found]) => found ?? '')
  return specifiers.map((specifier) => path.posix.join(path.posix.dirname(file), specifier))
}

test('rooms: each folder of a house has a row of its own', () => {
  const folders = new Set(
    FILES.map((file) => file.split('/').slice(0, 2).join('/')).filter((name) => !/\.\w+$/.test(name)),
  )
  const rooms = new Set(ROWS.map(({ room }) => room))
  assert.ok(folders.size > 30)
  assert.deepEqual(
    FILES.filter((file) => rowOf(file) === undefined),
    [],
  )
  assert.deepEqual(
    [...folders].filter((folder) => !rooms.has(folder)),
    [],
  )
  for (const room of rooms)
    assert.ok(room === 'native' || FILES.some((file) => rowOf(file)?.room === room), `${room}: no file`)
})

test('rooms: a row imports only rows above it in the list, so no rooms are in a circle', () => {
  const known = new Set(['native/index.ts', 'exporters/index.ts'])
  for (const { room, imports } of ROWS) {
    assert.deepEqual(
      imports.filter((below) => !known.has(below) && !isFileOf(below, known)),
      [],
      room,
    )
    assert.ok(!known.has(room), `${room}: two rows`)
    known.add(room)
  }
})

test('rooms: a source of bpf includes only what its row allows', () => {
  const sources = FILES.filter((file) => file.startsWith('bpf/'))
  assert.ok(sources.length > 50)
  const upwards = sources.flatMap((file) => {
    const row = rowOf(file) ?? assert.fail(file)
    return importsOf(file).flatMap((target) => (allows(row, target, false) ? [] : [`${file} includes ${target}`]))
  })
  assert.deepEqual(upwards, [])
  const args = rowOf('bpf/args/file.h') ?? assert.fail()
  assert.ok(!allows(args, 'bpf/call/screen.h', false) && allows(args, 'bpf/frame/hook.h', false))
})

/** `collector/agent.ts` of the room `collector`. */
function isFileOf(file: string, rooms: ReadonlySet<string>): boolean {
  return rooms.has(rowOf(file)?.room ?? '')
}

test('rooms: a row allows no room of its own house that the room does not import', () => {
  for (const { room, imports } of ROWS) {
    const house = room.split('/', 1)[0] ?? ''
    const own = FILES.filter((file) => rowOf(file)?.room === room).flatMap(importsOf)
    const used = new Set(own.flatMap((target) => [target, rowOf(target)?.room]))
    assert.deepEqual(
      imports.filter((below) => below.startsWith(`${house}/`) && !used.has(below)),
      [],
      room,
    )
  }
})

test('rooms: no files are in a circle, types and `import()` included', () => {
  const known = new Set(FILES)
  const graph = new Map(FILES.map((file) => [file, importsOf(file).filter((target) => known.has(target))]))
  // A file without imports left is in no circle.
  for (let before = -1; before !== graph.size;) {
    before = graph.size
    for (const [file, targets] of graph) if (!targets.some((target) => graph.has(target))) graph.delete(file)
  }
  assert.deepEqual([...graph.keys()], [])
})

test('rooms: the picture in ARCHITECTURE.md is that of the rows', () => {
  const page = readFileSync(FILE, 'utf8')
  assert.equal(page, withPicture(page), 'stale: run node test/support/lint/picture.ts')
  assert.throws(() => withPicture('# Architecture\n'), /expected a line "<!-- rooms/)
})
