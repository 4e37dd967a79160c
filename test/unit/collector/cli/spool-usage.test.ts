import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ktrail } from '../../../../collector/cli/ktrail.ts'
import { UsageError } from '../../../../collector/cli/command.ts'
import { ConfigError } from '../../../../config/yaml/errors.ts'
import { Host } from './support/spools.ts'

for (const [line, want] of [
  ['lss', /^no such command: "spool lss" \(did you mean "ls"\?\)$/],
  ['constructor', /^no such command: "spool constructor"/],
  ['ls -o table', /^-o: expected text, wide, json or yaml, got "table"$/],
  ['ls --all', /^no such option: --all; expected --config, --format$/],
  ['ls bsu', /^no exporter "bsu" in .*c\.yaml \(did you mean "bus"\?\); a folder needs a slash, such as \.\/bsu$/],
  ['ls constructor', /^no exporter "constructor" in /],
  ['ls screen', /^exporter "screen" of .*c\.yaml has no spool; a folder needs a slash/],
  ['repair', /^expected: ktrail spool repair NAME\|DIR$/],
  ['repair bus bus', /^expected: ktrail spool repair NAME\|DIR$/],
  ['replay', /^expected: ktrail spool replay NAME\|DIR/],
  ['replay bus -o table', /^-o: expected json, got "table"$/],
  ['replay bus -o json --to screen', /^expected either --to EXPORTER or -o json, got both$/],
  ['replay bus --remove', /^--remove requires --to EXPORTER/],
  ['replay bus --to screen --remove --since 1h', /^--remove requires --to EXPORTER/],
  ['replay bus --to scren', /^--to: no exporter "scren" in .*c\.yaml \(did you mean "screen"\?\)$/],
  ['replay bus --to bus', /^--to: this spool belongs to the exporter "bus", so the agent sends its events$/],
  ['replay bus --since yesterday', /^--since: expected a time such as 2026-03-09T05:30:00Z or an age/],
  ['replay bus --until 2026-13-01', /^--until: expected a time such as/],
  ['replay bus --until 5', /^--until: expected a time such as/],
] as const) {
  test(`spool: refused as wrong usage: ${line}`, async () => {
    using host = new Host('  bus: { type: stdout, spool: { dir: F/spool } }\n  screen: { type: stdout }')
    await host.fill('bus', 1)
    await assert.rejects(host.run(line), (error) => {
      assert.ok(error instanceof UsageError, String(error))
      assert.match(error.message, want)
      return true
    })
  })
}

test('spool: without a command it lists the commands', async () => {
  const errors: string[] = []
  const terminal = {
    env: {},
    print: () => Promise.resolve(true),
    printError: (line: string) => errors.push(line),
    nowMs: () => 0,
  }
  assert.equal(await ktrail(['spool'], terminal), 2)
  for (const name of ['ls', 'verify', 'repair', 'replay'])
    assert.match(errors.join('\n'), new RegExp(`ktrail spool ${name} `))
})

test('spool: a wrong config is reported as by every command', async () => {
  using host = new Host('  bus: { type: nothing }')
  for (const line of ['ls', 'verify', 'repair bus', 'replay bus']) await assert.rejects(host.run(line), ConfigError)
})

test('spool: a folder needs no config', async () => {
  using host = new Host('  bus: { type: nothing }')
  await host.fill('bus', 1)
  for (const line of ['ls F/spool/bus', 'verify F/spool/bus', 'replay F/spool/bus', 'repair F/spool/bus'])
    assert.equal((await host.run(line)).code, 0, line)
})
