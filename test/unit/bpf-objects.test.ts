/** The built BPF objects name their licence and ktrail's version. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ROOT, read } from './support/pages.ts'

const BUILT = join(ROOT, 'bpf/build')

test('bpf objects: each has licence and version in sections of its own', () => {
  const { version } = JSON.parse(read('package.json')) as { version: string }
  const objects = readdirSync(BUILT).filter((file) => file.endsWith('.bpf.o'))
  assert.ok(objects.length >= 11)
  for (const object of objects) {
    const text = execFileSync('readelf', ['-p', 'license', '-p', 'ktrail_version', join(BUILT, object)], {
      encoding: 'utf8',
    })
    const sections = [...text.matchAll(/section '(.*)':\n +\[ +0\] +(.*)$/gm)].map(
      ([, name = '', value = '']) => [name, value] as const,
    )
    assert.deepEqual(
      new Map(sections),
      new Map([
        ['license', 'Dual BSD/GPL'],
        ['ktrail_version', version],
      ]),
      object,
    )
  }
})
