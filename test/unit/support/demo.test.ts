import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { denied, summary } from '../../../deploy/demo/summary.ts'
import { ansi, cut, runs } from '../../../deploy/demo/terminal.ts'

const reader = { binary: '/usr/bin/cat', uid: 65534 }
const open = (result: number): string =>
  JSON.stringify({
    process_kprobe: {
      process: reader,
      policy_name: 'open-secrets',
      function_name: 'do_sys_openat2',
      args: [{ string_arg: '/etc/shadow' }],
      return: { int_arg: result },
    },
  })

test('demo: a refused access names function, argument, result and user; an allowed one does not count', () => {
  assert.deepEqual(denied(`${open(3)}\n${open(-13)}\n`), [
    '   denied: do_sys_openat2("/etc/shadow") = -13 EACCES, uid 65534',
  ])
})

test('demo: the summary fits a terminal of 80 × 24 and shows losses', () => {
  const functions = ['file_permission', 'file_truncate', 'mmap_file', 'path_truncate'].map((name) =>
    JSON.stringify({ process_kprobe: { policy_name: 'file-monitoring', function_name: `security_${name}` } }),
  )
  const events = [open(-13), ...functions, '{"process_exec":{}}', '{"process_exit":{}}'].join('\n')
  const lost = 'ktrail_kernel_lost_events_total{reason="a"} 2\nktrail_kernel_lost_events_total{reason="b"} 3\n'
  const lines = summary(events, lost, 30_400).split('\n')
  assert.ok(lines.includes('    7  events, lost 5'), lines.join('\n'))
  assert.ok(lines.length < 20 && lines.every((line) => line.length <= 80), lines.join('\n'))
  assert.match(summary(events, '', 1), /lost unknown \(no ktrail_kernel_lost_events_total/)
  assert.throws(() => summary('', lost, 1), /no events/)
})

test('demo: a long line is cut with its colours, and an emoji counts two columns', () => {
  assert.equal(ansi(cut(runs('🚀 \x1b[34mabcdef\x1b[0m gh'), 8)), '🚀 \x1b[34mabcd…\x1b[0m')
  assert.equal(ansi(cut(runs('🚀 abcde'), 8)), '🚀 abcde')
})

test('demo: a failure shows the step, the output before it, and the exit code', () => {
  const script = 'echo "@ agent"; echo the reason; exit 3'
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', 'deploy/demo/run.ts', 'this kernel', 'sh', '-c', script],
    { encoding: 'utf8' },
  )
  assert.equal(stdout, '[2/4] this kernel\n[3/4] the agent attaches its policies failed\n')
  assert.equal(stderr, 'the reason\n')
  assert.equal(status, 3)
})
