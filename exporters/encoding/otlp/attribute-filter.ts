/** Applies field filters to attributes: a field removed from records is removed from attributes too. */
import type { Event } from '../../contract/event.ts'
import type { FieldFilterConfig } from '../../../config/agent/schema.ts'
import { fieldTest } from '../../filtering/fields.ts'
import type { AttributeSink, Key } from './attributes.ts'

/** Whether records of a type have an attribute. */
export type AttributeTest = (type: Event['type'], key: Key) => boolean

/**
 * Tests for attributes whose fields all pass `filters`. Throws ExportError UNUSABLE for filters that the config would refuse.
 */
export function attributeTest(filters: readonly FieldFilterConfig[]): AttributeTest {
  const leaves = fieldTest(filters)
  return (type, key) => key.fields.every((field) => leaves(type, field))
}

/** Passes on the attributes of one event that `hasAttribute` accepts. */
export function filterAttributes(out: AttributeSink, type: Event['type'], hasAttribute: AttributeTest): AttributeSink {
  return {
    text: (key, value) => void (hasAttribute(type, key) && out.text(key, value)),
    integer: (key, value) => void (hasAttribute(type, key) && out.integer(key, value)),
    flag: (key, value) => void (hasAttribute(type, key) && out.flag(key, value)),
    list: (key, values) => void (hasAttribute(type, key) && out.list(key, values)),
  }
}
