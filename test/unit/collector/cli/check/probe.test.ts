/** `ktrail check --probe`: a line for each sink, and exit codes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { writeFileSync } from 'node:fs'
import { ktrail } from '../../../../../collector/cli/ktrail.ts'
import { FakeSink } from '../../../../support/otlp/server.ts'
import { UserFolder } from '../../../exporters/sinks/npm/support.ts'
import { Folder } from '../../../exporters/support/folder.ts'

async function check(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ['', '']
  const code = await ktrail(['check', '--probe', ...args], {
    env: {},
    print: (text) => Promise.resolve(((out += String(text)), true)),
    printError: (line) => void (err += `${line}\n`),
    nowMs: () => 0,
  })
  return { code, out, err }
}

test('check --probe: 0 if all sinks can be used, 1 if one cannot, 78 for a wrong config, without probes', async () => {
  using folder = new Folder()
  const file = folder.at('k.yaml')
  await using sink = await FakeSink.start()
  const exporters: Record<string, object> = {
    loki: { type: 'otlp', logs_endpoint: sink.url },
    archive: { type: 'file', path: folder.at('e.jsonl') },
  }
  const written = (policies: string[] = []): void => writeFileSync(file, JSON.stringify({ policies, exporters }))
  written()
  const good = await check(file)
  assert.equal(good.code, 0)
  assert.match(
    good.out,
    /^ok       loki     http:\/\/127.*, plain; took a request without records\nok       archive  \/.*e\.jsonl: can be created, .* free\n$/,
  )
  assert.equal(good.err, '2 exporters probed, none failed\n')
  // Other programs write meanwhile.
  const withoutFree = ({ out, ...rest }: typeof good): object => ({
    ...rest,
    out: out.replace(/[\d,]+ MiB free/, 'free'),
  })
  assert.deepEqual(withoutFree(await check('--config', file)), withoutFree(good))

  exporters['lost'] = { type: 'file', path: folder.at('no\n/such/folder') }
  written()
  const bad = await check(file)
  assert.equal(bad.code, 1)
  assert.match(
    bad.out,
    /^ok .*\nok .*\nfailed   lost     cannot write to .*no\\n\/such.*its folder does not exist.*\n$/,
  )
  assert.equal(bad.err, '1 of 3 exporters cannot be used\n')

  written([folder.at('none')])
  const wrong = await check(file)
  assert.equal(wrong.code, 78)
  assert.match(wrong.out, /^.*k\.yaml:1:\d+: policies\[0\]: expected a policy file .*\n$/)
  // Two probes before, and one with a failed folder; none with a wrong config.
  assert.deepEqual(
    sink.requests.map((request) => request.logs().records),
    [[], [], []],
  )
  assert.deepEqual(folder.names(), ['k.yaml'])
})

test('check --probe: an exporter that cannot be made from its config is a mistake in it', async () => {
  using folder = new UserFolder()
  folder.install('picky', "export const ktrail = 1\nexport const createExporter = () => { throw new Error('no url') }")
  writeFileSync(folder.configFile, JSON.stringify({ exporters: { web: { type: 'npm:picky' } } }))
  await assert.rejects(check(folder.configFile), { code: 'EXPORTER_REFUSED', message: /^exporters\.web: .*no url$/ })
})
