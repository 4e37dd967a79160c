/** `ktrail trace` with an agent without a kernel: the files that count as the command's. test/e2e has it on a real kernel. */
import assert from 'node:assert/strict'
import { realpathSync } from 'node:fs'
import { test } from 'node:test'
import type { Event } from '../../../../../exporters/contract/event.ts'
import { until } from '../../../../e2e/support/wait.ts'
import { file as fileAt, int, makeHook, makeKprobe, makeProcess } from '../../../exporters/support/events.ts'
import { Rig } from '../../api/support/rig.ts'
import { typed } from '../support/terminal.ts'

const SHELL = realpathSync('/bin/sh')

test('trace: the files of builtins in the shell count, and those of its own end do not', async () => {
  await using rig = await Rig.start()
  const ended = typed(['trace', '--server', `unix://${rig.path}`, '-o', 'json', '--', 'eval', ':'])
  await until('the policy', () => rig.kernel.names.length > 0)
  const pids = rig.kernel.attached.flatMap(({ policy }) =>
    policy.hooks.flatMap(({ selectors }) =>
      JSON.stringify(selectors, (_, value) => (typeof value === 'bigint' ? Number(value) : value)),
    ),
  )
  const pid = Number(/"class":"pid"[^}]*?"values":\[(\d+)\]/.exec(pids.join())?.[1])
  assert.ok(pid > 0, pids.join())
  const event = (functionName: string, path: string, words: string): Event =>
    makeKprobe({
      hook: makeHook({ policy: rig.kernel.names[0] ?? '', functionName, private: true }),
      process: makeProcess({ pid, binary: '/bin/sh', arguments: words }),
      args: [fileAt(path), int(4)],
    })
  rig.delivery.publish([
    event('security_file_permission', '/etc/passwd', '-c "trap : INT"'),
    event('security_file_permission', '/etc/exec', 'other program'),
    event('security_file_permission', SHELL, '-c "trap : INT"'),
    event('security_bprm_check', SHELL, '-c "trap : INT"'),
    event('security_file_permission', '/etc/ld.so.cache', '-c "exit 0"'),
  ])
  const { code, stdout } = await ended
  assert.equal(code, 0)
  const { processes } = JSON.parse(stdout) as { processes: ReadonlyArray<{ files: ReadonlyArray<{ path: string }> }> }
  assert.deepEqual(
    processes.flatMap(({ files }) => files.map(({ path }) => path)),
    ['/etc/passwd', '/etc/exec'],
  )
})
