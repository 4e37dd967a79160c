import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { configJsonSchema, withSharedParts } from '../../../../config/agent/json-schema.ts'
import { configReference } from '../../../support/docs/reference.ts'

interface Node {
  description?: string
  default?: unknown
  properties?: Record<string, Node>
  additionalProperties?: Node | boolean
  items?: Node
  oneOf?: Node[]
  anyOf?: Node[]
}

/** Keys without which every event passes as it is. */
const FILTERING = /^\.exporters\.\*\.(filter|fields|redact|rate_limit)(?![a-z_])/

/** Every key of the schema with its path, in the order written. */
function keys(node: Node, path: string): Array<[string, Node]> {
  const found: Array<[string, Node]> = []
  for (const [key, child] of Object.entries(node.properties ?? {})) {
    found.push([`${path}.${key}`, child], ...keys(child, `${path}.${key}`))
  }
  if (typeof node.additionalProperties === 'object') found.push(...keys(node.additionalProperties, `${path}.*`))
  if (node.items !== undefined) found.push(...keys(node.items, `${path}[]`))
  for (const branch of [...(node.oneOf ?? []), ...(node.anyOf ?? [])]) found.push(...keys(branch, path))
  return found
}

describe('the schema of the config', () => {
  const schema: Node = configJsonSchema()
  const all = keys(schema, '')

  it('equals config/schema.json (else: node test/support/docs/write-schema.ts, npm run format)', () => {
    const file = join(import.meta.dirname, '../../../../config/schema.json')
    assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), withSharedParts(configJsonSchema()))
  })

  it('equals the tables of docs/reference/configuration.md (else: node test/support/docs/write-schema.ts)', () => {
    const page = readFileSync(join(import.meta.dirname, '../../../../docs/reference/configuration.md'), 'utf8')
    const [, tables = ''] = page.split(/<!-- keys:(?:begin|end) -->\n/)
    assert.equal(tables.trim(), configReference())
  })

  it('has a description of every key', () => {
    assert.ok(all.length > 40, `${all.length} keys`)
    for (const [path, node] of all) assert.match(node.description ?? '', /^[^\n]{10,}\.$/, path)
  })

  it('has a default for every key that is neither required nor optional', () => {
    const without = all
      .filter(([path, node]) => node.default === undefined && !FILTERING.test(path))
      .map(([path]) => path)
    assert.deepEqual(
      [...new Set(without)],
      [
        '.containers',
        '.containers.sockets',
        '.kubernetes',
        '.kubernetes.kubeconfig',
        '.kubernetes.policy_selector',
        '.kubernetes.policy_names',
        '.server.token',
        '.server.metrics_token',
        '.server.tls',
        '.server.tls.cert_file',
        '.server.tls.key_file',
        '.server.tls.ca_file',
        '.exporters',
        '.exporters.*.type',
        '.exporters.*.path',
        '.exporters.*.rotate.interval',
        '.exporters.*.rotate.max_total_size',
        '.exporters.*.rotate.max_age',
        '.exporters.*.queue.when_full',
        '.exporters.*.spool',
        '.exporters.*.spool.dir',
        '.exporters.*.spool.max_age',
        '.exporters.*.retry.max_age',
        '.exporters.*.dead_letter',
        '.exporters.*.dead_letter.path',
        '.exporters.*.endpoint',
        '.exporters.*.logs_endpoint',
        '.exporters.*.protocol',
        '.exporters.*.compression',
        '.exporters.*.tenant',
        '.exporters.*.request_timeout',
        '.exporters.*.tls.ca_file',
        '.exporters.*.tls.cert_file',
        '.exporters.*.tls.key_file',
        '.exporters.*.tls.server_name',
        '.exporters.*.service_name',
        '.exporters.*.body',
        '.exporters.*.command_line',
        '.exporters.*.event_name_attribute',
        '.exporters.*.concurrency.max',
        '.exporters.*.brokers',
        '.exporters.*.topic',
        '.exporters.*.otlp',
        '.exporters.*.otlp.service_name',
        '.exporters.*.codec',
        '.exporters.*.tls',
        '.exporters.*.sasl',
        '.exporters.*.sasl.mechanism',
        '.exporters.*.sasl.username',
        '.exporters.*.sasl.password',
        '.exporters.*.sasl.password_file',
        '.ring.watermark',
      ],
    )
  })

  it('filters nothing by default', () => {
    const filtering = all.filter(([path]) => FILTERING.test(path))
    assert.ok(filtering.length > 40, `${filtering.length} keys`)
    const given = filtering
      .filter(([, node]) => node.default !== undefined)
      .map(([path]) => path.replace(FILTERING, ''))
    assert.deepEqual([...new Set(given)], ['[].invert_event_set', '[].action', '.per'])
  })

  it('has defaults as a user would write them', () => {
    const wanted = {
      '.ring.size': '16MiB',
      '.server.http': '127.0.0.1:2112',
      '.shutdown.grace': '10s',
      '.log.level': 'info',
    }
    for (const [path, value] of Object.entries(wanted))
      assert.equal(all.find(([key]) => key === path)?.[1].default, value)
  })
})
