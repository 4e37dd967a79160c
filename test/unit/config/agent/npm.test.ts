import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { checkFile, configOrThrow, parseConfigFile } from '../../../../config/agent/check.ts'
import { loadConfig } from '../../../../config/agent/load.ts'
import type { LoadedConfig } from '../../../../config/agent/load.ts'
import { printConfig } from '../../../../config/agent/print.ts'
import { formatProblem } from '../../../../config/yaml/problems.ts'

const files = (path: string): string => (path === '/token' ? 's3cret\n' : '')

function load(exporter: string): LoadedConfig | string {
  const result = loadConfig(`exporters: { a: ${exporter} }`, 'c.yaml', { PORT: '8080' }, files)
  return 'problems' in result ? result.problems.map(formatProblem).join('\n') : result
}

function loaded(exporter: string): LoadedConfig {
  const result = load(exporter)
  assert.ok(typeof result !== 'string', String(result))
  return result
}

describe('type: npm:<package>', () => {
  it('accepts any options and the keys of every exporter', () => {
    const { config } = loaded('{ type: npm:@me/pkg, options: { a: [1, { type: x }], b: null }, timeout: 3s }')
    const { type, timeout, ...rest } = config.exporters['a'] ?? {}
    assert.equal(type, 'npm:@me/pkg')
    assert.deepEqual('options' in rest ? rest.options : undefined, { a: [1, { type: 'x' }], b: null })
    assert.equal(timeout, 3000)
  })

  it('has no options by default', () => {
    const exporter = loaded('{ type: npm:pkg }').config.exporters['a'] ?? {}
    assert.deepEqual('options' in exporter ? exporter.options : undefined, {})
  })

  it('replaces references in options, and a secret is not printed', () => {
    const result = loaded('{ type: npm:pkg, options: { port: "${env:PORT}", deep: [{ token: "${file:/token}" }] } }')
    const exporter = result.config.exporters['a'] ?? {}
    assert.deepEqual('options' in exporter ? exporter.options : undefined, {
      port: '8080',
      deep: [{ token: 's3cret' }],
    })
    for (const effective of [false, true]) {
      const text = printConfig(result, { effective })
      assert.match(text, /token: "?\[redacted\]"?/)
      assert.match(text, /type: npm:pkg/)
      assert.doesNotMatch(text, /s3cret/)
    }
  })

  const NAME = 'expected npm: and the name of an installed package such as npm:ktrail-exporter-http'
  const KNOWN = 'file, stdout, otlp, kafka, npm:<package>'
  const bad: ReadonlyArray<readonly [exporter: string, want: string]> = [
    ['{ type: "npm:" }', `1:25: exporters.a.type: ${NAME}, got "npm:"`],
    ['{ type: "npm:Pkg" }', `1:25: exporters.a.type: ${NAME}, got "npm:Pkg"`],
    ['{ type: "npm:../pkg" }', `1:25: exporters.a.type: ${NAME}, got "npm:../pkg"`],
    ['{ type: "npm:/etc/pkg" }', `1:25: exporters.a.type: ${NAME}, got "npm:/etc/pkg"`],
    ['{ type: "npm:pkg/sub" }', `1:25: exporters.a.type: ${NAME}, got "npm:pkg/sub"`],
    ['{ type: "npm:pkg@1.0.0" }', `1:25: exporters.a.type: ${NAME}, got "npm:pkg@1.0.0"`],
    ['{ type: "npm:@me" }', `1:25: exporters.a.type: ${NAME}, got "npm:@me"`],
    ['{ type: "npm:node:fs" }', `1:25: exporters.a.type: ${NAME}, got "npm:node:fs"`],
    ['{ type: npm }', `1:25: exporters.a.type: expected one of ${KNOWN}, got "npm"`],
    ['{ type: sdtout }', `1:25: exporters.a.type: expected one of ${KNOWN}, got "sdtout" (did you mean "stdout"?)`],
    ['{ type: 5 }', `1:25: exporters.a.type: expected one of ${KNOWN}, got the number 5`],
    ['{}', `1:17: exporters.a.type: missing; expected one of ${KNOWN}`],
    ['5', '1:17: exporters.a: expected a mapping such as {type: stdout}, got the number 5'],
    ['', '1:18: exporters.a: expected a mapping such as {type: stdout}, got nothing'],
    ['{ type: npm:pkg, options: 5 }', '1:43: exporters.a.options: expected a mapping, got the number 5'],
    [
      '{ type: npm:pkg, timeout: 5 }',
      '1:43: exporters.a.timeout: expected a duration such as 200ms, 10s, 5m or 6d, got the number 5; add its unit',
    ],
    [
      '{ type: npm:pkg, retry: { initial: 2m } }',
      '1:52: exporters.a.retry.initial: expected at most retry.max, which is 30s, got "2m"',
    ],
  ]
  for (const [exporter, want] of bad) {
    it(`refuses ${exporter || 'nothing'}`, () => assert.equal(load(exporter), `c.yaml:${want}`))
  }

  it('lists the valid keys for an unknown key', () => {
    assert.match(
      String(load('{ type: npm:pkg, url: x }')),
      /^c.yaml:1:34: exporters.a.url: unknown key "url"; expected one of type, options, .*timeout/,
    )
    assert.match(String(load('{ type: npm:pkg, otpions: {} }')), /unknown key "otpions" \(did you mean "options"\?\)$/)
  })

  it('reports every error', () => {
    const text = String(load('{ type: npm:pkg, options: 5, timeout: 5, x: 1 }'))
    assert.deepEqual(text.match(/exporters\.a\.\w+/g), ['exporters.a.options', 'exporters.a.timeout', 'exporters.a.x'])
  })
})

describe('a package that a config names', () => {
  it('is an error also as the codec of an exporter', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ktrail-config-'))
    try {
      const file = join(folder, 'c.yaml')
      const keys = 'type: kafka, brokers: [a:1], topic: t, compression: lz4, codec: npm:a-codec'
      writeFileSync(file, `exporters: { k: { ${keys} } }\n`)
      const [problem] = (await checkFile(file, {})).problems
      assert.match(problem?.message ?? '', /^exporters\.k\.codec: cannot find the package "a-codec": /)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('is an error with its position unless it is installed', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ktrail-config-'))
    try {
      const file = join(folder, 'c.yaml')
      writeFileSync(file, 'exporters:\n  a: { type: stdout }\n  b:\n    type: npm:@me/pkg\n')
      const [problem, ...more] = (await checkFile(file, {})).problems
      assert.deepEqual(more, [])
      assert.deepEqual([problem?.line, problem?.col], [4, 11])
      const where =
        /^exporters\.b\.type: cannot find the package "@me\/pkg": expected it in node_modules of "(.*)" or ".*", or of a folder above; install it: npm install --prefix (.*) @me\/pkg$/
      const found = where.exec(problem?.message ?? '')
      assert.deepEqual([found?.[1], found?.[2]], [folder, folder])
      const result = await parseConfigFile(file, {})
      assert.throws(() => configOrThrow(result), { code: 'CONFIG_INVALID' })
      const home = join(folder, 'node_modules/@me/pkg')
      mkdirSync(home, { recursive: true })
      writeFileSync(join(home, 'package.json'), '{"name":"@me/pkg"}')
      const { problems, warnings } = await checkFile(file, {})
      assert.deepEqual([problems, warnings], [[], []])
      assert.ok('config' in (await parseConfigFile(file, {})))
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
