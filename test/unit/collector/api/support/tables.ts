/**
 * A client of the API that is independent of our .proto files: its descriptors are built at run time from the tables in
 * test/fixtures/api/tables.md.
 */
import { readFileSync } from 'node:fs'
import { create, createFileRegistry, fromBinary, fromJson, toBinary, toJson } from '@bufbuild/protobuf'
import type { DescMessage, FileRegistry, JsonValue } from '@bufbuild/protobuf'
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_any,
  file_google_protobuf_duration,
  file_google_protobuf_field_mask,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
} from '@bufbuild/protobuf/wkt'
import type { DescriptorProto, EnumDescriptorProto, FieldDescriptorProto } from '@bufbuild/protobuf/wkt'
import { Client, credentials } from '@grpc/grpc-js'
import type { ClientReadableStream, ServiceError } from '@grpc/grpc-js'

const KNOWN = [
  file_google_protobuf_any,
  file_google_protobuf_duration,
  file_google_protobuf_field_mask,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
]
const SCALARS: Readonly<Record<string, Type>> = {
  string: Type.STRING,
  bytes: Type.BYTES,
  bool: Type.BOOL,
  int32: Type.INT32,
  int64: Type.INT64,
  uint32: Type.UINT32,
  uint64: Type.UINT64,
}

export interface TableCall {
  readonly service: string
  readonly name: string
  readonly input: string
  readonly output: string
  readonly stream: boolean
}

interface Tables {
  readonly registry: FileRegistry
  readonly calls: readonly TableCall[]
  /** Names of messages and enums, without the package. */
  readonly names: readonly string[]
}

type Row = readonly [kind: string, name: string, text: string]

export function readTables(): Tables {
  const text = readFileSync(new URL('../../../../fixtures/api/tables.md', import.meta.url), 'utf8')
  const rows = [...text.matchAll(/^- (enum |rpc )?\*\*([\w./]+)\*\*: (.*)$/gm)].map(
    ([, kind = '', name = '', rest = '']): Row => [kind.trim(), name, rest],
  )
  const enums = new Set(rows.filter(([kind]) => kind === 'enum').map(([, name]) => name))
  const messages = rows
    .filter(([kind]) => kind === '')
    .map(([, name, rest]) => [name, messageOf(name, rest, enums)] as const)
  for (const [name, message] of messages) {
    const [outer] = name.split('.')
    if (outer !== name) messages.find(([other]) => other === outer)?.[1].nestedType.push(message)
  }
  const file = create(FileDescriptorProtoSchema, {
    name: 'tables.proto',
    package: 'tetragon',
    syntax: 'proto3',
    dependency: KNOWN.map(({ name }) => `${name}.proto`),
    messageType: messages.filter(([name]) => !name.includes('.')).map(([, message]) => message),
    enumType: rows.filter(([kind]) => kind === 'enum').map(([, name, rest]) => enumOf(name, rest)),
  })
  const set = create(FileDescriptorSetSchema, { file: [...KNOWN.map(({ proto }) => proto), file] })
  const calls = rows
    .filter(([kind]) => kind === 'rpc')
    .map(([, path, rest]): TableCall => {
      const [service = '', name = ''] = path.split('/')
      const [, input = '', stream, output = ''] = /^(\w+) -> (stream )?(\w+)$/.exec(rest) ?? []
      return { service: `tetragon.${service}`, name, input, output, stream: stream !== undefined }
    })
  const names = rows.filter(([kind]) => kind !== 'rpc').map(([, name]) => name)
  return { registry: createFileRegistry(set), calls, names }
}

function enumOf(name: string, text: string): EnumDescriptorProto {
  const value = text.split(', ').map((each) => {
    const [key = '', number = ''] = each.split('=')
    return { name: key, number: Number(number) }
  })
  const file = create(FileDescriptorProtoSchema, { enumType: [{ name, value }] })
  const [made] = file.enumType
  if (made === undefined) throw new Error(name)
  return made
}

function messageOf(fullName: string, text: string, enums: ReadonlySet<string>): DescriptorProto {
  const name = fullName.split('.').at(-1) ?? ''
  const oneofs: string[] = []
  const optional: string[] = []
  const nested: DescriptorProto[] = []
  const fields = text === '(no fields)' ? [] : text.split('; ')
  const field = fields.map((each) => {
    const parsed =
      /^(\w+)=(\d+) (repeated |optional )?(map<string, \w+>|\w+) \[.*?\](?: string\])?(?: \(oneof (\w+)\))?/.exec(each)
    if (parsed === null) throw new Error(`${fullName}: ${each}`)
    const [, key = '', number = '', label = '', type = '', oneof] = parsed
    if (oneof !== undefined && !oneofs.includes(oneof)) oneofs.push(oneof)
    if (label === 'optional ') optional.push(key)
    const isMap = type.startsWith('map<')
    const entry = `${key
      .split('_')
      .map((word) => word.slice(0, 1).toUpperCase() + word.slice(1))
      .join('')}Entry`
    if (isMap) nested.push(mapEntry(entry, type))
    return {
      name: key,
      number: Number(number),
      label: label === 'repeated ' || isMap ? Label.REPEATED : Label.OPTIONAL,
      proto3Optional: label === 'optional ',
      ...(isMap ? { type: Type.MESSAGE, typeName: `.tetragon.${fullName}.${entry}` } : typeOf(type, fullName, enums)),
      ...(oneof === undefined ? {} : { oneofIndex: oneofs.indexOf(oneof) }),
    }
  })
  // Synthetic oneofs of optional fields come last.
  for (const each of field)
    if (each.proto3Optional) Object.assign(each, { oneofIndex: oneofs.push(`_${each.name}`) - 1 })
  const file = create(FileDescriptorProtoSchema, {
    messageType: [{ name, field, nestedType: nested, oneofDecl: oneofs.map((each) => ({ name: each })) }],
  })
  const [made] = file.messageType
  if (made === undefined) throw new Error(name)
  return made
}

function mapEntry(name: string, type: string): DescriptorProto {
  const value = /, (\w+)>/.exec(type)?.[1] ?? ''
  const file = create(FileDescriptorProtoSchema, {
    messageType: [
      {
        name,
        options: { mapEntry: true },
        field: [
          { name: 'key', number: 1, label: Label.OPTIONAL, type: Type.STRING },
          { name: 'value', number: 2, label: Label.OPTIONAL, ...typeOf(value, '', new Set()) },
        ],
      },
    ],
  })
  const [made] = file.messageType
  if (made === undefined) throw new Error(name)
  return made
}

function typeOf(
  type: string,
  message: string,
  enums: ReadonlySet<string>,
): Pick<FieldDescriptorProto, 'type' | 'typeName'> {
  const scalar = SCALARS[type]
  if (scalar !== undefined) return { type: scalar, typeName: '' }
  if (enums.has(type)) return { type: Type.ENUM, typeName: `.tetragon.${type}` }
  const known = /^(?:Timestamp|Duration|Any|FieldMask|\w+Value)$/.test(type)
  const inner = ['Probe', 'ConfVal', 'BuildInfo'].includes(type) ? `${message}.${type}` : type
  return { type: Type.MESSAGE, typeName: known ? `.google.protobuf.${type}` : `.tetragon.${inner}` }
}

/** Talks JSON to its caller and the tables' bytes to the server. */
export class TableClient implements Disposable {
  readonly #tables = readTables()
  readonly #client: Client

  constructor(address: string, secure: ReturnType<typeof credentials.createInsecure> = credentials.createInsecure()) {
    // Without this option all clients of a process share one connection.
    this.#client = new Client(address, secure, { 'grpc.use_local_subchannel_pool': 1 })
  }

  #call(name: string): {
    path: string
    serialize: (json: JsonValue) => Buffer
    deserialize: (bytes: Buffer) => JsonValue
  } {
    const call = this.#tables.calls.find((each) => each.name === name)
    if (call === undefined) throw new Error(`no call ${name} in the tables`)
    const { registry } = this.#tables
    const [input, output] = [call.input, call.output].map((each): DescMessage => {
      const found = registry.getMessage(`tetragon.${each}`)
      if (found === undefined) throw new Error(`no message ${each} in the tables`)
      return found
    })
    if (input === undefined || output === undefined) throw new Error(name)
    return {
      path: `/${call.service}/${name}`,
      serialize: (json) => Buffer.from(toBinary(input, fromJson(input, json, { registry }))),
      deserialize: (bytes) => toJson(output, fromBinary(output, bytes), { useProtoFieldName: true, registry }),
    }
  }

  /** Rejects with grpc-js's ServiceError. */
  ask(name: string, request: JsonValue = {}): Promise<JsonValue> {
    const { path, serialize, deserialize } = this.#call(name)
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(path, serialize, deserialize, request, (error: ServiceError | null, answer) => {
        if (error !== null || answer === undefined) reject(error)
        else resolve(answer)
      })
    })
  }

  read(request: JsonValue = {}): ClientReadableStream<JsonValue> {
    const { path, serialize, deserialize } = this.#call('GetEvents')
    return this.#client.makeServerStreamRequest(path, serialize, deserialize, request)
  }

  [Symbol.dispose](): void {
    this.#client.close()
  }
}
