/**
 * The installed unit on a kernel: it is active after the boot, with no more rights than this kernel requires, and reports an access. Runs in a guest
 * whose root is a Debian with the package (test/packages/deb.test.ts starts it).
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { listeningPorts, Sigusr1 } from '../support/sigusr1.ts'
import { CAPABILITIES, byPerfEvents, check, eventually, journal, kernel, logged, run, seen, show } from './service.ts'

/** It is attached as a perf event. */
const TRACEPOINT = `apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: { name: tracepoint }
spec: { tracepoints: [{ subsystem: sched, event: sched_process_exit, args: [] }] }
`

describe(`unit on ${kernel}`, () => {
  it('at boot: the agent is ready at the first try, with CAP_SYS_ADMIN only where the kernel requires it; it reports a read', async () => {
    assert.equal(show('SubState'), 'running', journal())
    assert.equal(show('NRestarts'), '0')
    const status = readFileSync(`/proc/${show('MainPID')}/status`, 'utf8')
    assert.match(status, CAPABILITIES)
    run('cat', '/etc/passwd')
    await seen('/usr/bin/cat security_file_permission /etc/passwd')
  })

  it('check --kernel finds that the unit can run', () => {
    const { status, text } = check()
    assert.equal(status, 0, text)
    console.log(text)
  })

  const later = byPerfEvents && 'one system is enough, and a start takes half a minute'
  it('SIGUSR1 during a restart: it neither ends the agent nor opens a debugger', { skip: later }, async () => {
    const before = show('MainPID')
    const restart = once(spawn('systemctl', ['restart', 'ktrail'], { stdio: 'inherit' }), 'exit')
    let pid = before
    await eventually('the new process', () => ![before, '0'].includes((pid = show('MainPID'))))
    using signals = new Sigusr1(Number(pid))
    assert.deepEqual(await restart, [0, null], journal())
    assert.ok(signals.sent > 1, `${signals.sent} signals`)
    assert.deepEqual([show('MainPID'), listeningPorts(Number(pid))], [pid, [2112]])
  })

  const only = byPerfEvents && 'there the unit has the right'
  it(
    'a policy with a tracepoint: check and the journal name the right that it needs, and after their command a reload attaches it',
    { skip: only },
    async () => {
      const file = '/etc/ktrail/policies/tracepoint.yaml'
      writeFileSync(file, TRACEPOINT)
      await logged(/policy refused.*cannot attach tracepoint/)
      const [, command = ''] = /cannot attach tracepoint.*or run `(sysctl [^`]*)`/.exec(journal()) ?? []
      assert.equal(command, 'sysctl kernel.perf_event_paranoid=2')
      const { status, text } = check()
      assert.equal(status, 78, text)
      assert.match(
        text,
        /^without {2}perf events: .*CAP_SYS_ADMIN, which ktrail\.service does not have: .*`sysctl kernel\.perf_event_paranoid=2`$/m,
      )
      assert.match(
        text,
        /^missing {2}policy tracepoint: .*CAP_SYS_ADMIN, which ktrail\.service does not have: .*`sysctl kernel\.perf_event_paranoid=2`$/m,
      )
      run('sh', '-c', command)
      run('systemctl', 'reload', 'ktrail')
      await logged(/policy added.*tracepoint/)
      assert.equal(check().status, 0)
    },
  )
})
