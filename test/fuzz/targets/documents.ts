/** Policies and configs. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { loadConfig } from '../../../config/agent/load.ts'
import { CORPUS, TOKENS, checkPolicy } from '../../simulation/fuzz/policies.ts'
import type { Target } from '../target.ts'

const CONFIG = fileURLToPath(new URL('../../../config/ktrail.yaml', import.meta.url))
const schema: { properties: Record<string, unknown> } = JSON.parse(
  readFileSync(fileURLToPath(new URL('../../../config/schema.json', import.meta.url)), 'utf8'),
)

export const policy: Target = {
  name: 'policy',
  text: true,
  seeds: () => CORPUS.map((text) => Buffer.from(text)),
  words: TOKENS,
  covers: /^config\//,
  run: (input) => void checkPolicy(input.toString()),
}

const SECRET = 'cd95f3a1'

export const config: Target = {
  name: 'config',
  text: true,
  seeds: () => [
    readFileSync(CONFIG),
    Buffer.from(
      'exporters:\n  a: { type: otlp, endpoint: "http://a:1", headers: { b: "${SECRET}" } }\n  c: { type: kafka, brokers: ["a:1"] }\n',
    ),
    Buffer.from(
      'exporters:\n  f:\n    type: file\n    path: /a\n    filter: { policies: ["a*"] }\n    redact: [{ pattern: "(a)" }]\n    spool: { dir: /b }\n',
    ),
  ],
  words: [
    ...TOKENS,
    ...Object.keys(schema.properties).map((key) => `${key}: `),
    '${SECRET}',
    '${SECRET:-a}',
    '64MiB',
    '10s',
    'type: ',
  ],
  covers: /^config\//,
  run(input) {
    const loaded = loadConfig(input.toString(), 'c.yaml', { SECRET }, () => SECRET)
    if ('config' in loaded) return
    if (loaded.problems.length === 0) throw new Error('refused without a problem')
    for (const { line, col, message } of loaded.problems) {
      if (line < 1 || col < 1 || message === '') throw new Error(`a problem at ${line}:${col}: "${message}"`)
      if (message.includes(SECRET)) throw new Error(`a message shows a secret: ${message}`)
    }
  },
}
