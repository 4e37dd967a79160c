/**
 * The attributes that a record must have, computed from its JSON line by the mapping table: an independent check of
 * the encoder, which starts from the event.
 */
import { boundedText } from '../../../../../exporters/encoding/command-args.ts'
import type { AnyValue } from '../../../../support/otlp/decode.ts'

type Json = { readonly [key: string]: unknown }
type Attributes = Record<string, AnyValue>

const object = (value: unknown): Json | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value))
    : undefined
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

/** The attributes of one JSON line, except those that it lacks: `uid`, the words of argv, and the access (files/access.test.ts). */
export function attributesOf(line: string, uid: string): Attributes {
  const record = object(JSON.parse(line)) ?? {}
  const [type = '', inner] = Object.entries(record)[0] ?? []
  const event = object(inner) ?? {}
  const out: Attributes = { 'log.record.uid': { stringValue: uid } }
  const text = (key: string, value: unknown): void => {
    if (typeof value === 'string' && value !== '') out[key] = { stringValue: value }
  }
  const int = (key: string, value: unknown): void => {
    if (typeof value === 'number') out[key] = { intValue: String(value) }
  }
  const p = object(event['process']) ?? {}
  int('process.pid', p['pid'])
  if (p['tid'] !== p['pid']) int('ktrail.tid', p['tid'])
  if (p['pid'] !== 0) {
    text('process.executable.path', p['binary'])
    const name = String(p['binary'] ?? '')
      .split('/')
      .at(-1)
    text('process.executable.name', boundedText(name ?? '', 1024))
  }
  text('process.working_directory', p['cwd'])
  int('process.user.id', p['uid'])
  text('process.user.name', object(p['user'])?.['name'])
  if (p['auid'] !== 4294967295) int('ktrail.auid', p['auid'])
  text('process.creation.time', p['start_time'])
  text('ktrail.exec_id', p['exec_id'])
  text('ktrail.parent_exec_id', p['parent_exec_id'])
  text('container.id', p['docker'])
  const parent = object(event['parent']) ?? {}
  int('process.parent_pid', parent['pid'])
  text('ktrail.parent.binary', parent['binary'])
  if (type === 'process_exit') {
    if (event['signal'] === undefined || event['status'] !== undefined) int('process.exit.code', event['status'] ?? 0)
    text('ktrail.signal', event['signal'])
    text('process.exit.time', event['time'])
  }
  text('ktrail.function_name', event['function_name'])
  for (const key of ['action', 'return_action']) {
    const action = event[key]
    if (typeof action === 'string' && action !== 'KPROBE_ACTION_POST')
      text(`ktrail.${key}`, action.replace('KPROBE_ACTION_', '').toLowerCase())
  }
  text('security_rule.name', event['policy_name'])
  text('security_rule.description', event['message'])
  const tags = list(event['tags']).map((tag) => ({ stringValue: String(tag) }))
  if (tags.length > 0) out['ktrail.tags'] = { arrayValue: { values: tags } }
  const files = list(event['args'])
    .map((argument) => object(argument)?.['file_arg'] ?? object(argument)?.['path_arg'])
    .map((file) => object(file) ?? {})
    .filter(({ path }) => typeof path === 'string')
  text('file.path', files[0]?.['path'])
  if (files[0] !== undefined) text('file.mode', octal(String(files[0]['permission'])))
  text('ktrail.file.target_path', files[1]?.['path'])
  const [[field, returned] = ['', '']] = Object.entries(object(event['return']) ?? {})
  const inside = object(returned)
  text(
    'ktrail.return',
    field.endsWith('bytes_arg')
      ? Buffer.from(String(inside === undefined ? returned : (inside['bytes_arg'] ?? '')), 'base64').toString()
      : inside === undefined
        ? String(returned ?? '')
        : (inside['path'] ?? inside['Message']),
  )
  return out
}

/** `-rw-r-----` as `0640`. */
function octal(permission: string): string {
  const letters = permission.slice(-9)
  let bits = 0
  for (let i = 0; i < 9; i++) if (!'-ST'.includes(letters[i] ?? '-')) bits |= 1 << (8 - i)
  const special = [2, 5, 8].map((at) => ('sStT'.includes(letters[at] ?? '-') ? 1 : 0))
  const high = (special[0] ?? 0) * 4 + (special[1] ?? 0) * 2 + (special[2] ?? 0)
  return String(high) + bits.toString(8).padStart(3, '0')
}
