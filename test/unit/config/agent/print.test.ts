import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { loadConfig } from '../../../../config/agent/load.ts'
import type { LoadedConfig } from '../../../../config/agent/load.ts'
import { printConfig } from '../../../../config/agent/print.ts'

function load(text: string, files: Record<string, string> = {}): LoadedConfig {
  const result = loadConfig(text, 'c.yaml', { NODE: 'node-1' }, (path) => files[path] ?? '')
  assert.ok('config' in result, JSON.stringify(result))
  return result
}

/** JSON that YAML reads as the same value, without a reference. */
function escaped(value: unknown): string {
  return JSON.stringify(value)
    .replaceAll('$', '$$$$')
    .replace(/[\u007f-\u009f]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

const TEXT = `node_name: \${env:NODE}
exporters:
  a: { type: file, path: "\${file:/p}", mode: "0640" }
ring: { size: 1024KiB }
`

describe('printConfig', () => {
  it('prints the config as written, with references replaced and secrets hidden', () => {
    assert.equal(
      printConfig(load(TEXT, { '/p': 'hush' })),
      `node_name: node-1
exporters:
  a:
    type: file
    path: "[redacted]"
    mode: "0640"
ring:
  size: 1024KiB
`,
    )
  })

  it('prints every effective value with its source', () => {
    const lines = printConfig(load(TEXT, { '/p': 'hush' }), { effective: true }).split('\n')
    for (const line of [
      'node_name: node-1 # line 1, NODE',
      'policies: []',
      '    path: "[redacted]" # line 3, a file',
      '    mode: "0640" # line 3',
      '    fsync: 1s # default',
      '      max_size: 64MiB # default',
      '  http: 127.0.0.1:2112 # default',
      '  size: 1MiB # line 4',
      '  grace: 10s # default',
    ]) {
      assert.ok(lines.includes(line), `${line} in\n${lines.join('\n')}`)
    }
    assert.ok(!lines.join().includes('hush'))
  })

  it('doubles dollar signs, so that they stay dollar signs', () => {
    const printed = printConfig(load('policies: ["/$${env:NODE}", "/a$b"]\nexporters: { a: { type: stdout } }\n'))
    assert.match(printed, /- \/\$\$\{env:NODE\}\n {2}- \/a\$\$b\n/)
  })

  it('escapes what YAML does not allow raw', () => {
    const printed = printConfig(
      load('node_name: "\\u007f\\u0085\\u2028\\ufeff\\u001b"\nexporters: { a: { type: stdout } }\n'),
    )
    assert.match(printed, /^node_name: "\\u007f\\u0085\\u2028\\ufeff\\e"\n/)
  })

  it('parses back to the same config, effective or not: fixtures', () => {
    for (const name of ['default', 'every-key', 'filters']) {
      const path = join(import.meta.dirname, `../../../fixtures/configs/good/${name}.yaml`)
      const loaded = load(readFileSync(path, 'utf8'))
      for (const effective of [true, false]) {
        assert.deepEqual(load(printConfig(loaded, { effective })).config, loaded.config)
      }
    }
  })

  it('parses back to the same config, effective or not: any config', () => {
    const word = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }).filter((text) => text.isWellFormed())
    const duration = fc
      .tuple(fc.integer({ min: 1, max: 1000 }), fc.constantFrom('ms', 's', 'm'))
      .map((parts) => parts.join(''))
    const size = fc
      .tuple(fc.integer({ min: 64, max: 4096 }), fc.constantFrom('KiB', 'MiB', 'KB'))
      .map((parts) => parts.join(''))
    const chain = {
      queue: fc.record(
        {
          max_bytes: size.filter((text) => text !== '64KB' && text !== '65KB'),
          max_events: fc.integer({ min: 1, max: 9999 }),
          when_full: fc.constantFrom('block', 'drop_oldest'),
        },
        { requiredKeys: [] },
      ),
      retry: fc.record({ max: fc.constantFrom('1s', '1d'), max_age: duration }, { requiredKeys: [] }),
      timeout: duration,
    }
    const stdout = fc.record(
      { type: fc.constant('stdout'), timestamps: fc.boolean(), format: fc.constantFrom('json', 'compact'), ...chain },
      { requiredKeys: ['type'] },
    )
    const file = fc.record(
      {
        type: fc.constant('file'),
        path: word,
        mode: fc.constantFrom('0600', '0644'),
        fsync: fc.constantFrom('never', 'batch', '5s'),
        ...chain,
      },
      { requiredKeys: ['type', 'path'] },
    )
    const name = fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,10}$/)
    // Two exporters to one file are refused.
    const exporters = fc
      .dictionary(name, fc.oneof(stdout, file), { minKeys: 1, maxKeys: 3 })
      .map((all) =>
        Object.fromEntries(
          Object.entries(all).map(([own, each]) => [
            own,
            'path' in each ? { ...each, path: `${each.path}/${own}` } : each,
          ]),
        ),
      )
    const config = fc.record(
      {
        node_name: word,
        policies: fc.array(word, { maxLength: 3 }),
        exporters,
        server: fc.record({ http: fc.constantFrom('[::]:1', 'localhost:0', '0.0.0.0:65535') }),
        ring: fc.record(
          { size: fc.constantFrom('64KiB', '1GiB'), watermark: fc.constantFrom('1B', '32KiB') },
          { requiredKeys: [] },
        ),
      },
      { requiredKeys: ['exporters'] },
    )
    fc.assert(
      fc.property(config, (written) => {
        const loaded = load(escaped(written))
        for (const effective of [true, false]) {
          assert.deepEqual(load(printConfig(loaded, { effective })).config, loaded.config)
        }
      }),
      { numRuns: 200 },
    )
  })
})
