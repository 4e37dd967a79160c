/** The sources in bpf/: each header includes all that it uses, and README.md has each object. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'

const BPF = fileURLToPath(new URL('../../bpf/', import.meta.url))
const HEADERS = globSync('{*.h,*/*.h}', { cwd: BPF }).filter((header) => !header.startsWith('vmlinux/'))
const CLANG = ['clang-16', 'clang-17', 'clang-18', 'clang-19', 'clang'].find(
  (name) => spawnSync(name, ['--version']).status === 0,
)
const FLAGS = ['-target', 'bpf', '-mcpu=v3', '-O2', '-D__TARGET_ARCH_x86', '-x', 'c', '-fsyntax-only']

/** Headers whose own text depends on a variant; the others are checked without one. */
const VARIABLE = HEADERS.filter((header) =>
  /^#\s*(?:el)?if.*KTRAIL_(?:TYPED|SESSION|BOUNDED)/m.test(readFileSync(`${BPF}${header}`, 'utf8')),
)

for (const variant of ['', '-DKTRAIL_TYPED -DKTRAIL_SESSION', '-DKTRAIL_TYPED', '-DKTRAIL_BOUNDED']) {
  test(`bpf: each header compiles alone ${variant}`, () => {
    assert.ok(HEADERS.length > 40 && VARIABLE.length > 5)
    const headers = variant === '' ? HEADERS : VARIABLE
    const words = [...FLAGS, ...variant.split(' ').filter((word) => word !== ''), ...headers]
    const { status, stderr } = spawnSync(CLANG ?? assert.fail('no clang'), words, { cwd: BPF, encoding: 'utf8' })
    assert.equal(status, 0, stderr)
  })
}

/** Headers of ours that a header includes, itself or through others. */
function below(header: string, found = new Set<string>()): Set<string> {
  for (const [, name = ''] of readFileSync(`${BPF}${header}`, 'utf8').matchAll(/^#include "(.+)"$/gm)) {
    const included = posix.join(posix.dirname(header), name)
    if (found.has(included)) continue
    found.add(included)
    below(included, found)
  }
  return found
}

test('bpf: no header includes itself through others', () => {
  assert.ok(below('call/match.h').has('frame/texts.h'))
  assert.deepEqual(
    HEADERS.filter((header) => below(header).has(header)),
    [],
  )
})

test('bpf: no header declares a function that a header above it defines', () => {
  const declaration = /^(?!typedef\b|MAP\(|TRIE\(|_Static_assert\b)\w[\w *]*[ *]\w+\([^(){};]*\);$/gm
  const declared = HEADERS.flatMap((header) =>
    [...readFileSync(`${BPF}${header}`, 'utf8').matchAll(declaration)].map(([text]) => `${header}: ${text}`),
  )
  assert.deepEqual(declared, [])
})

test('bpf: the table in README.md has the objects of the Makefile', () => {
  const makefile = readFileSync(`${BPF}/Makefile`, 'utf8')
  const [, list = ''] = /^OBJECTS := ((?:.*\\\n)*.*)/m.exec(makefile) ?? []
  const built = [...list.matchAll(/[\w.]+\.bpf\.o/g)].map(([name]) => name)
  const listed = [...readFileSync(`${BPF}/README.md`, 'utf8').matchAll(/^\| `([\w.]+\.bpf\.o)` \|/gm)].map(
    ([, name]) => name,
  )
  assert.deepEqual(listed.toSorted(), built.toSorted())
})
