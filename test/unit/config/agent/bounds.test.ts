/** No duration for a timer exceeds the limit of Node's timers: above 2^31 - 1 ms they fire at once. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { configSchema } from '../../../../config/agent/schema.ts'

type Schema = z.core.$ZodType

/** Every value with a unit, by path. */
function* unitsOf(schema: Schema, path: string): Generator<[path: string, codec: z.ZodCodec]> {
  if (schema instanceof z.ZodCodec) yield [path, schema]
  else if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional)
    yield* unitsOf(schema.unwrap(), path)
  else if (schema instanceof z.ZodArray) yield* unitsOf(schema.element, `${path}[]`)
  else if (schema instanceof z.ZodRecord) yield* unitsOf(schema.valueType, `${path}.*`)
  else if (schema instanceof z.ZodUnion) for (const option of schema.options) yield* unitsOf(option, path)
  else if (schema instanceof z.ZodObject)
    for (const [key, child] of Object.entries(schema.shape)) yield* unitsOf(child as Schema, `${path}.${key}`)
}

/** Paths of the values that accept one of these texts. */
function taking(...texts: readonly string[]): string[] {
  const found = [...unitsOf(configSchema, '')].filter(([, codec]) =>
    texts.some((text) => codec.safeParse(text).success),
  )
  return [...new Set(found.map(([path]) => path))].toSorted()
}

test('config: only ages may exceed the limit of a timer', () => {
  assert.ok(taking('1ms', '1s', '1h').length > 12, `${taking('1ms', '1s', '1h')}`)
  assert.deepEqual(taking('25d'), [
    '.exporters.*.loki.max_age',
    '.exporters.*.loki.max_ahead',
    '.exporters.*.retry.max_age',
    // Durations that are waited for in several steps.
    '.exporters.*.rotate.interval',
    '.exporters.*.rotate.max_age',
    '.exporters.*.spool.max_age',
  ])
  assert.deepEqual(taking('3651d', '999999999999d'), [])
})

test('config: durations for which 0 would mean forever or never cannot be 0', () => {
  assert.deepEqual(taking('0ms', '0B'), [
    '.exporters.*.batch.max_wait',
    '.exporters.*.loki.max_ahead',
    '.exporters.*.spool.min_free',
    '.kubernetes.pod_wait',
    '.shutdown.grace',
  ])
})

test('config: no size exceeds the exact range of a number', () => {
  assert.deepEqual(taking('9999999999TiB'), [])
})
