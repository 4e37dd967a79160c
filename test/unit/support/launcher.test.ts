import assert from 'node:assert/strict'
import { it } from 'node:test'
import { launchFlags } from '../../support/launcher.ts'

const SCRIPT = `exec "$node" --a --b=1 "$root/collector/main.ts" "$@"
`

it('launcher: gives the flags that the script has', () => {
  assert.deepEqual(launchFlags(SCRIPT), ['--a', '--b=1'])
})

it('launcher: reads ./ktrail itself', () => {
  assert.ok(launchFlags().some((flag) => flag.startsWith('--max-semi-space-size=')))
})

for (const { name, text } of [
  { name: 'starts Node without flags', text: SCRIPT.replace('--a --b=1 ', '') },
  { name: 'starts another program', text: SCRIPT.replace('"$node"', 'node') },
]) {
  it(`launcher: fails with a sentence on a script that ${name}`, () => {
    assert.throws(() => launchFlags(text), /^Error: ktrail: expected a line/)
  })
}
