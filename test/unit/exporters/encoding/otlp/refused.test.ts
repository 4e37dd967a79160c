/** A call that was refused has the file, the access and `denied` in Loki, for every hook of the shipped policies on files. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePolicy } from '../../../../../config/policy/parse.ts'
import type { HookSpec } from '../../../../../config/policy/policy.ts'
import { symbolOf } from '../../../../../collector/plan/plan.ts'
import type { Argument, HookEvent } from '../../../../../exporters/contract/event.ts'
import { createOtlpEncoder } from '../../../../../exporters/encoding/otlp/encode.ts'
import { accepts, labelsOf } from '../../../../support/otlp/logql.ts'
import { requestFromProtobuf } from '../../../../support/otlp/decode.ts'
import { openOf, refusedQueries } from '../../../../support/otlp/refused.ts'
import { files, read } from '../../../support/pages.ts'
import { encoderOptions, requestOf, RESOURCE } from '../../sinks/otlp/support.ts'
import { file, int, makeHook, makeKprobe, text } from '../../support/events.ts'

const PATH = '/etc/shadow'
const EACCES = -13
/** MAY_READ in a mask, PROT_EXEC in a protection. */
const NUMBER = 4

const encoder = createOtlpEncoder({ ...encoderOptions, event_name_attribute: true })
const lokiLabels = (event: HookEvent): Readonly<Record<string, string>> => {
  const [labels] = labelsOf(requestFromProtobuf(requestOf(encoder.encode([event]), RESOURCE)))
  return labels ?? assert.fail('no record')
}

/** The event of a call that the hook reports and that was refused. */
function refused(spec: HookSpec): HookEvent {
  const shown = spec.args.filter(({ type, source }) => type.kind !== 'none' && source === undefined)
  const named = shown.some(({ type }) => type.kind === 'file') ? 'device' : PATH
  const args = shown.map(({ type }): Argument => {
    if (type.kind === 'file') return file(PATH)
    return type.kind === 'string' ? text(named) : int(NUMBER)
  })
  const functionName = symbolOf(spec, 'x64')
  const hook = makeHook({ functionName, indexes: shown.map(({ index }) => index) })
  return makeKprobe({ hook, args, returned: int(EACCES) })
}

const QUERIES = refusedQueries('ktrail')
/** They have hooks without a file: on BPF, modules, memory of processes, sockets, namespaces. */
const OTHERS = /\/(?:bpf-programs|kernel-modules|process-memory|runtime-sockets|user-namespaces)\.yaml$/
/** Hooks of the other policies that have no file (detached mounts, options of a mount), or no access (the flags of a descriptor). */
const OTHER_HOOKS = /^(?:sys_fsopen|sys_fspick|sys_open_tree|security_fs_context_parse_param|security_file_fcntl)$/
const POLICIES = files(['config/policies/**/*.yaml', 'deploy/demo/policies/*.yaml']).filter(
  (page) => !OTHERS.test(page),
)
for (const page of POLICIES) {
  test(`refused: each hook of ${page} has the file, the access and denied, and the queries find it`, () => {
    const parsed = parsePolicy(read(page), page)
    if ('problems' in parsed) assert.fail(JSON.stringify(parsed.problems))
    const hooks = parsed.policy.hooks.filter(({ call }) => !OTHER_HOOKS.test(call))
    assert.ok(hooks.length > 0)
    for (const spec of hooks) {
      const labels = lokiLabels(refused(spec))
      assert.equal(labels['file_path'], PATH, spec.call)
      assert.match(labels['ktrail_file_access'] ?? '', /^[a-z_]+$/, spec.call)
      assert.equal(labels['ktrail_file_denied'], 'true', spec.call)
      for (const query of QUERIES)
        assert.ok(accepts(query, labels), `${spec.call}: ${query} misses ${JSON.stringify(labels)}`)
    }
  })
}

test('refused: a query for refused accesses does not find an allowed open', () => {
  const labels = lokiLabels(openOf(PATH, 3))
  assert.equal(labels['file_path'], PATH)
  for (const query of QUERIES) assert.ok(!accepts(query, labels), query)
})

const CALLS: ReadonlyArray<
  readonly [name: string, args: Readonly<Record<number, Argument>>, path?: string, target?: string]
> = [
  ['__x64_sys_open', { 0: text('a') }, 'a'],
  ['__arm64_sys_openat', { 0: int(-100), 1: text('/a') }, '/a'],
  ['sys_openat2', { 1: text('/a') }, '/a'],
  ['do_sys_open', { 0: int(-100), 1: text('/a'), 2: int(0) }, '/a'],
  ['do_filp_open', { 1: text('/a') }, '/a'],
  ['sys_renameat2', { 1: text('/a'), 3: text('/b') }, '/a', '/b'],
  ['sys_rename', { 1: text('/b') }, '/b'],
  ['sys_symlinkat', { 0: text('leads'), 2: text('/a') }, '/a'],
  ['sys_mount', { 0: text('/dev/sda'), 1: text('/a'), 2: text('ext4') }, '/a'],
  ['sys_execveat', { 0: file('/bin/a'), 1: text('') }, '/bin/a'],
  ['vfs_setxattr', { 2: text('user.x') }],
]
for (const [name, args, path, target] of CALLS) {
  test(`otlp: ${name} with ${Object.keys(args).join(' and ')} has the path ${path} and the target ${target}`, () => {
    const hook = makeHook({ functionName: name, indexes: Object.keys(args).map(Number) })
    const labels = lokiLabels(makeKprobe({ hook, args: Object.values(args), returned: int(EACCES) }))
    assert.deepEqual([labels['file_path'], labels['ktrail_file_target_path']], [path, target])
    assert.equal(labels['ktrail_file_denied'], 'true')
  })
}
