/** The demo of `make run`, as it runs in the guest. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'

test('demo: shows each access under its step, the refused one as denied, and loses nothing', async () => {
  const args = ['--disable-warning=ExperimentalWarning', 'deploy/demo/run.ts', 'this kernel', 'deploy/demo/demo.sh']
  const { stdout } = await promisify(execFile)(process.execPath, args)
  const steps = new Map(stdout.split(/^--- /m).map((part) => [part.slice(0, part.indexOf('\n')), part]))
  const shows = (step: string, line: RegExp): void =>
    assert.match(steps.get(step) ?? `no step "${step}" in:\n${stdout}`, line)
  shows('a program reads /etc/passwd', /read {4}\S+ \S+head \/etc\/passwd/)
  shows('a user is added to it', /write {3}\S+ \S+tee \/etc\/passwd/)
  shows('another user tries to read /etc/shadow', /denied: do_sys_openat2\("\/etc\/shadow"\) = -13 EACCES, uid 65534/)
  shows('a program is killed by a signal', /SIGSEGV/)
  assert.match(stdout, /^ +\d+ {2}events, lost 0$/m)
})
