import assert from 'node:assert/strict'
import { it } from 'node:test'
import { launchOf } from '../../support/launcher.ts'

const SCRIPT = `jemalloc=/lib/x.so
  export LD_PRELOAD=$jemalloc MALLOC_CONF="\${MALLOC_CONF:-narenas:2,x:1}"
exec "$node" --a --b=1 "$root/collector/main.ts" "$@"
`

it('launcher: returns the flags and the malloc settings of the script', () => {
  const env = { LD_PRELOAD: '/lib/x.so', MALLOC_CONF: 'narenas:2,x:1' }
  assert.deepEqual(
    launchOf(SCRIPT, (file) => file === '/lib/x.so'),
    { flags: ['--a', '--b=1'], env },
  )
  assert.deepEqual(launchOf(SCRIPT, () => false).env, {})
})

it('launcher: reads ./ktrail itself', () => {
  assert.ok(launchOf().flags.some((flag) => flag.startsWith('--max-semi-space-size=')))
})

for (const { name, text } of [
  { name: 'starts Node without flags', text: SCRIPT.replace('--a --b=1 ', '') },
  { name: 'starts another program', text: SCRIPT.replace('"$node"', 'node') },
  { name: 'sets up no malloc', text: SCRIPT.replace('MALLOC_CONF=', 'OTHER=') },
]) {
  it(`launcher: fails with a message on a script that ${name}`, () => {
    assert.throws(() => launchOf(text), /^Error: ktrail: expected a line/)
  })
}
