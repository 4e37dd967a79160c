import assert from 'node:assert/strict'
import { it } from 'node:test'
import { launchOf } from '../../support/launcher.ts'

const SCRIPT = `export MALLOC_MMAP_THRESHOLD_=\${MALLOC_MMAP_THRESHOLD_:-131072}
export MALLOC_ARENA_MAX=\${MALLOC_ARENA_MAX:-2}
exec "$node" --a --b=1 "$root/collector/main.ts" "$@"
`

it('launcher: gives the flags and the settings of malloc that the script has', () => {
  assert.deepEqual(launchOf(SCRIPT), {
    flags: ['--a', '--b=1'],
    env: { MALLOC_MMAP_THRESHOLD_: '131072', MALLOC_ARENA_MAX: '2' },
  })
})

it('launcher: reads ./ktrail itself', () => {
  assert.ok(launchOf().flags.some((flag) => flag.startsWith('--max-semi-space-size=')))
})

for (const { name, text } of [
  { name: 'starts Node without flags', text: SCRIPT.replace('--a --b=1 ', '') },
  { name: 'starts another program', text: SCRIPT.replace('"$node"', 'node') },
  { name: 'sets no threshold', text: SCRIPT.replace('MMAP_THRESHOLD_=', 'OTHER=') },
]) {
  it(`launcher: fails with a sentence on a script that ${name}`, () => {
    assert.throws(() => launchOf(text), /^Error: ktrail: expected a line/)
  })
}
