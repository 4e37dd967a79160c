/** Messages to a service manager on its socket: a real one, of another program. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, test } from 'node:test'
import { SystemdNotify } from '../../../../../collector/host/systemd/notify.ts'

const folder = mkdtempSync(join(tmpdir(), 'ktrail-notify-'))
after(() => rmSync(folder, { recursive: true }))

const RECEIVER = `use IO::Socket::UNIX; $| = 1; my ($name) = @ARGV; $name =~ s/^@/\\0/;
my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $name) or die; print "listening\\n";
print "$_\\n" while defined($s->recv($_, 4096))`

/** Lines of a program that listens on the socket. */
async function* received(socket: string): AsyncGenerator<string> {
  const child = spawn('perl', ['-e', RECEIVER, socket], { stdio: ['ignore', 'pipe', 'inherit'], timeout: 30_000 })
  try {
    yield* createInterface({ input: child.stdout })
  } finally {
    child.kill()
    await once(child, 'close')
  }
}

const unexpected = (message: string): void => assert.fail(message)

for (const socket of [join(folder, 'socket'), `@ktrail-notify-${process.pid}`]) {
  test(`notify: ready, a reload, a wait after a failed start, the watchdog while the agent is alive, stopping, the next agent; on ${socket[0]}`, async () => {
    const env = { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '200000', WATCHDOG_PID: String(process.pid) }
    using notify = new SystemdNotify({ env, warn: unexpected })
    const keep = setInterval(() => undefined, 1_000)
    const lines: string[] = []
    let alive = true
    for await (const line of received(socket)) {
      lines.push(line)
      if (line === 'listening') {
        notify.reloading()
        notify.reloaded('refused:\nline 1')
        notify.waiting(4_000, 'the start failed again')
        notify.status('starting the next agent')
        notify.handingOver(7)
        notify.ready(() => alive)
      }
      if (line === 'WATCHDOG=1' && alive) {
        alive = false
        notify.stopping()
      }
      if (line === 'STOPPING=1') break
    }
    clearInterval(keep)
    const [usec] = lines.splice(2, 1)
    assert.match(usec ?? '', /^MONOTONIC_USEC=\d+$/)
    const reload = ['RELOADING=1', 'READY=1', String.raw`STATUS=refused:\nline 1`]
    const waiting = ['EXTEND_TIMEOUT_USEC=14000000', 'STATUS=the start failed again']
    const next = ['STATUS=starting the next agent', 'MAINPID=7', 'WATCHDOG_USEC=180000000', 'STATUS=']
    const ready = ['READY=1', 'STATUS=', 'WATCHDOG_USEC=200000']
    // On a busy machine, others are sent before the first is read.
    const sent = lines.filter((line, i) => line !== 'WATCHDOG=1' || lines[i - 1] !== line)
    assert.deepEqual(sent, ['listening', ...reload, ...waiting, ...next, ...ready, 'WATCHDOG=1', 'STOPPING=1'])
  })
}

test('notify: nothing is sent without a socket, and no watchdog of another process is answered', async () => {
  let asked = 0
  const alive = (): boolean => ++asked > 0
  using none = new SystemdNotify({ env: {}, warn: unexpected })
  none.ready(alive)
  none.stopping()
  const socket = join(folder, 'other')
  const env = { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '1000', WATCHDOG_PID: '1' }
  using other = new SystemdNotify({ env, warn: unexpected })
  for await (const line of received(socket)) {
    if (line === 'listening') other.ready(alive)
    if (line === 'READY=1') break
  }
  assert.equal(asked, 0)
})

test('notify: a missing socket is a warning', () => {
  const warnings: string[] = []
  using notify = new SystemdNotify({
    env: { NOTIFY_SOCKET: join(folder, 'none') },
    warn: (text) => warnings.push(text),
  })
  notify.ready(() => true)
  assert.equal(warnings.length, 1)
  assert.match(
    warnings[0] ?? '',
    /^cannot notify systemd "READY=1\\nSTATUS=": cannot write to the socket ".*\/none": .*ENOENT/,
  )
})
