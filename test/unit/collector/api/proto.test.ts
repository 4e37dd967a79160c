/** Our .proto files, against the tables they were written from. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createRegistry } from '@bufbuild/protobuf'
import type { DescEnum, DescField, DescFile, DescMessage } from '@bufbuild/protobuf'
import {
  EventLogService,
  FineGuidanceSensors,
  file_tetragon_sensors,
} from '../../../../collector/proto/tetragon/sensors_pb.js'
import { KprobeArgumentSchema } from '../../../../collector/proto/tetragon/events_pb.js'
import { generate } from '../../../support/proto/write-proto.ts'
import { TYPES } from '../../../../config/policy/arguments.ts'
import { Folder } from '../../exporters/support/folder.ts'
import { readTables } from './support/tables.ts'

const withImports = (file: DescFile): DescFile[] => [file, ...file.dependencies.flatMap(withImports)]
const ours = createRegistry(...withImports(file_tetragon_sensors))
const tables = readTables()

const shown = (field: DescField): string => {
  const { name, number, fieldKind, oneof } = field
  const type = field.message?.typeName ?? field.enum?.typeName ?? field.scalar
  const list = fieldKind === 'list' ? ` of ${field.listKind}` : fieldKind === 'map' ? ` of ${field.mapKind}` : ''
  const optional = field.proto.proto3Optional ? ' optional' : ''
  return `${name} = ${number}: ${fieldKind}${list} ${type}${optional} ${optional === '' ? (oneof?.name ?? '') : ''}`
}
/** Fields of Tetragon: the types of ktrail's own fields are in a package of its own. */
const messageText = ({ fields }: DescMessage): string[] =>
  fields.filter(({ message }) => message?.typeName.startsWith('ktrail.') !== true).map(shown)
const enumText = ({ values }: DescEnum): string[] => values.map(({ name, number }) => `${name} = ${number}`)

test('api proto: every message and enum has the fields, numbers, types and order of the tables', () => {
  assert.ok(tables.names.length > 120)
  for (const name of tables.names) {
    const [want, got] = [tables.registry, ours].map((registry) => {
      const [message, enumeration] = [registry.getMessage(`tetragon.${name}`), registry.getEnum(`tetragon.${name}`)]
      return message === undefined ? enumeration && enumText(enumeration) : messageText(message)
    })
    assert.ok(want !== undefined, name)
    assert.deepEqual(got, want, name)
  }
})

test('api proto: the .proto files have no message, enum or call beyond the tables', () => {
  const own = [...ours]
    .filter(({ kind }) => kind === 'message' || kind === 'enum')
    .map((each) => ('typeName' in each ? each.typeName : ''))
  const known = new Set(tables.names.map((name) => `tetragon.${name}`))
  assert.deepEqual(
    own.filter((name) => name.startsWith('tetragon.') && !known.has(name)),
    [],
  )
  const calls = [FineGuidanceSensors, EventLogService].flatMap(({ typeName, methods }) =>
    methods.map(({ name, input, output, methodKind }) => ({
      service: typeName,
      name,
      input: input.name,
      output: output.name,
      stream: methodKind === 'server_streaming',
    })),
  )
  assert.deepEqual(calls, tables.calls)
})

test('api proto: every type of argument in policies has a field for its values', () => {
  const fields = new Set(KprobeArgumentSchema.fields.map(({ name }) => name))
  for (const { field } of TYPES) if (field !== '') assert.ok(fields.has(field), field)
})

test('api proto: the generated files are those of the .proto files (else: node test/support/proto/write-proto.ts)', () => {
  using folder = new Folder()
  generate(folder.path)
  for (const part of ['tetragon', 'grpc']) {
    const names = readdirSync(join(folder.path, part))
    assert.ok(names.length >= 4)
    for (const name of names) {
      const own = new URL(`../../../../collector/proto/${part}/${name}`, import.meta.url)
      assert.equal(readFileSync(own, 'utf8'), readFileSync(join(folder.path, part, name), 'utf8'), name)
    }
  }
})
