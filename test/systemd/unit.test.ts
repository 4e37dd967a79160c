/**
 * The installed unit under systemd as init, with all that it hardens: one boot, one life of the agent after the other. Runs in a guest whose root is a
 * Debian with the package (test/packages/deb.test.ts starts it).
 */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, readdirSync, unlinkSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { text as textOf } from 'node:stream/consumers'
import { setTimeout } from 'node:timers/promises'
import { blockLines } from '../support/docs/shell-lines.ts'
import { FakeSink } from '../support/otlp/server.ts'
import {
  CAPABILITIES,
  EVENTS,
  accesses,
  active,
  check,
  eventually,
  journal,
  logged,
  run,
  seen,
  show,
} from './service.ts'

const CONFIG = '/etc/ktrail/ktrail.yaml'
/** For scrapers. */
const TOKEN = '/etc/ktrail/metrics-token'
/** A drop-in that comes after the generator's. */
const DROP_INS = '/run/systemd/system/ktrail.service.d'
/** The drop-in with which the root boots: the unit without CAP_SYS_ADMIN, and with a shorter watchdog. */
const FOUR = '/etc/systemd/system/ktrail.service.d/90-four.conf'
/** Debian's value. */
const PARANOID = 3
/** This package with a later version. */
const LATER = '/ktrail_99.0.0_amd64.deb'
/** A page, and its text about command lines that run here. */
const PAGE = 'docs/start/host.md'
const OURS = 'test/systemd/unit.test.ts runs these lines'
const PORT = 4318
/** Ends with 0 if its caller may have real-time priority 1, and no higher one. 144: sched_setscheduler of x86_64; 1: SCHED_FIFO. */
const PRIORITY = `/usr/bin/perl -e "sub set { syscall(144, 0, 1, pack('i', shift)) } exit(set(1) != 0 || set(2) == 0)"`
/** Reads of one program while the agent is reloaded. */
const READS = 500
const RELOADS = 3

/** Events that wait for the sink that is down. */
async function held(): Promise<number> {
  const headers = { authorization: `Bearer ${readFileSync(TOKEN, 'utf8')}` }
  const answer = await fetch('http://127.0.0.1:2112/status', { headers })
  const { exporters }: { exporters: Array<{ name: string; held_events: number }> } = JSON.parse(await answer.text())
  return exporters.find(({ name }) => name === 'loki')?.held_events ?? 0
}

const readsOf = (pid: number | undefined): number =>
  accesses().filter((each) => each.pid === pid && each.what.includes('security_file_permission /etc/passwd')).length

/** A sink comes, and gets at least so many records. */
async function sinkGets(count: number): Promise<void> {
  await using sink = await FakeSink.start(undefined, undefined, PORT)
  const got = (): number => sink.requests.reduce((sum, request) => sum + request.logs().records.length, 0)
  await eventually(`${count} events at the sink`, () => got() >= count)
}

describe('unit', () => {
  it('without the right at boot: check says so, the agent waits between failed starts, and the command of its message helps', async () => {
    let shown = ''
    await eventually('a second failed start that waits', () =>
      (shown = show('StatusText')).startsWith('the start failed again'),
    )
    const { status, text } = check()
    assert.equal(status, 78, text)
    assert.match(text, /^missing {2}perf events, .* requires CAP_SYS_ADMIN, which ktrail\.service does not have/m)
    assert.match(text, /^this kernel cannot run ktrail with the rights of ktrail\.service$/m)
    const [, command = ''] = /or run `(sysctl [^`]*)`/.exec(shown) ?? []
    assert.equal(command, 'sysctl kernel.perf_event_paranoid=2')
    run('sh', '-c', command)
    await eventually('the next start', active)
    assert.equal(show('StatusText'), '')
  })

  it('the watchdog restarts an agent that hangs, with the rights that the unit has now', async () => {
    // From here on they are the unit's own.
    unlinkSync(FOUR)
    mkdirSync(DROP_INS, { recursive: true })
    writeFileSync(`${DROP_INS}/priority.conf`, `[Service]\nExecStartPre=${PRIORITY}\n`)
    run('sysctl', `kernel.perf_event_paranoid=${PARANOID}`)
    run('systemctl', 'daemon-reload')
    const [pid, restarts] = [Number(show('MainPID')), Number(show('NRestarts'))]
    assert.ok(pid > 0)
    process.kill(pid, 'SIGSTOP')
    const from = performance.now()
    await logged(/^ktrail: info: ready /, 0)
    console.log(`an agent that hangs was replaced after ${((performance.now() - from) / 1000).toFixed(0)} s`)
    await eventually('the unit is active', active)
    assert.equal(show('NRestarts'), String(restarts + 1))
    assert.notEqual(Number(show('MainPID')), pid)
    assert.match(journal(), /Watchdog timeout/)
  })

  it('the agent has the rights of the unit, and reports reads, writes and truncations', async () => {
    const status = readFileSync(`/proc/${show('MainPID')}/status`, 'utf8')
    assert.match(status, CAPABILITIES)
    assert.match(status, /^NoNewPrivs:\t1$/m)
    run('cat', '/etc/passwd')
    run('sh', '-c', 'echo x >>/etc/hosts')
    run('perl', '-e', 'truncate "/etc/hosts", 1 or die')
    await seen('/usr/bin/cat security_file_permission /etc/passwd')
    await seen('/usr/bin/sh security_file_permission /etc/hosts')
    await seen('/usr/bin/perl security_path_truncate /etc/hosts')
  })

  it('other users read no numbers, the token opens them, and status needs none', async () => {
    const [token, url] = [readFileSync(TOKEN, 'utf8'), 'http://127.0.0.1:2112']
    const got = async (page: string, sent: string): Promise<number> =>
      (await fetch(url + page, { headers: { authorization: sent } })).status
    for (const page of ['/metrics', '/status']) {
      assert.deepEqual([await got(page, ''), await got(page, `Bearer ${token}`)], [401, 200], page)
    }
    assert.deepEqual([await got('/events', `Bearer ${token}`), await got('/readyz', '')], [401, 200])
    assert.match(run('ktrail', 'status'), /^ready/m)
  })

  it('check --kernel finds that the unit can run', () => {
    const { status, text } = check()
    assert.equal(status, 0, text)
  })

  it('the journal has lines for people, with their priorities', () => {
    const lines = run('journalctl', '-u', 'ktrail', '-o', 'json', '_PID=' + show('MainPID'))
      .trim()
      .split('\n')
    const messages = lines.map((line): { PRIORITY: string; MESSAGE: string } => JSON.parse(line))
    for (const { MESSAGE } of messages) assert.match(MESSAGE, /^ktrail: (info|warn): [^{<]/)
    const ready = messages.find(({ MESSAGE }) => /^ktrail: info: ready policies=\d+ /.test(MESSAGE))
    assert.equal(ready?.PRIORITY, '6')
  })

  it('the command lines of the page on installing run', () => {
    const lines = blockLines().filter(({ page, reason }) => page === PAGE && reason.startsWith(OURS))
    assert.ok(lines.length >= 5)
    for (const { text } of lines) {
      const { status, stdout, stderr } = spawnSync('bash', ['-euc', text.replace(/^sudo /, '')], { encoding: 'utf8' })
      assert.equal(status, 0, `${PAGE} shows "${text}": ${stdout}${stderr}`)
    }
  })

  it('systemctl reload: new exporters and the same ones miss no read meanwhile; a mistake changes nothing and is shown', async (t) => {
    const before = readFileSync(CONFIG, 'utf8')
    const loop = `for (1..${READS}) { open F, "<", "/etc/passwd" or die; sysread F, $b, 1; close F; select undef, undef, undef, 0.012 }`
    const reader = spawn('perl', ['-e', loop], { stdio: 'inherit' })
    t.after(() => reader.kill())
    const ended = once(reader, 'exit')
    for (let i = 1; i <= RELOADS; i++) {
      const loki = `  loki: { type: otlp, endpoint: 'http://127.0.0.1:${PORT}/otlp', loki: true, batch: { max_wait: ${i}00ms }, spool: { dir: /var/lib/ktrail/spool, use: always } }\n`
      writeFileSync(CONFIG, before + (i === 1 ? '' : loki))
      run('systemctl', 'reload', 'ktrail')
      await setTimeout(500)
    }
    const good = readFileSync(CONFIG, 'utf8')
    writeFileSync(CONFIG, `${good}  loki: {}\n`)
    run('systemctl', 'reload', 'ktrail')
    await eventually('the refusal in the status', () => /refused.*loki/.test(show('StatusText')))
    writeFileSync(CONFIG, good)
    run('systemctl', 'reload', 'ktrail')
    await eventually('no refusal in the status', () => show('StatusText') === '')
    assert.ok(active())
    const [code] = await ended
    assert.equal(code, 0)
    await eventually(`${READS} reads`, () => readsOf(reader.pid) >= READS)
    assert.equal(readsOf(reader.pid), READS)
  })

  it('an upgrade of the package under load misses no read, and keeps config and spool: a sink that comes afterwards gets each event', async (t) => {
    const [pid, config, restarts] = [show('MainPID'), readFileSync(CONFIG, 'utf8'), show('NRestarts')]
    const before = await held()
    assert.ok(before > READS / 2, `${before} events wait for a sink that is down`)
    // Reads until its standard input ends, and prints how often.
    const loop = `$r = ""; while (!vec $r, 0, 1) { open F, "<", "/etc/passwd" or die; sysread F, $b, 1; close F; $n++; vec($r, 0, 1) = 1; select $r, undef, undef, 0.05 } print $n`
    const reader = spawn('perl', ['-e', loop], { stdio: ['pipe', 'pipe', 'inherit'] })
    t.after(() => reader.kill())
    const read = textOf(reader.stdout)
    // Without a sync for each of the thousands of files, which takes minutes in a guest.
    run('dpkg', '--force-unsafe-io', '--install', LATER)
    assert.equal(run('dpkg-query', '--show', '--showformat=${Version}', 'ktrail'), '99.0.0')
    assert.ok(active())
    assert.notEqual(show('MainPID'), pid)
    assert.equal(show('NRestarts'), restarts)
    assert.equal(show('StatusText'), '')
    reader.stdin.end()
    const reads = Number(await read)
    assert.ok(reads > 10)
    await eventually(`${reads} reads`, () => readsOf(reader.pid) >= reads)
    const twice = readsOf(reader.pid) - reads
    console.log(`reads while the package was upgraded: ${reads}, of them twice: ${twice}`)
    assert.ok(twice < 10)
    assert.match(journal(), /^ktrail: info: another agent takes over/m)
    assert.equal(readFileSync(CONFIG, 'utf8'), config)
    assert.ok((await held()) >= before)
    await sinkGets(before)
  })

  it('systemctl stop: exit code 0, nothing left', () => {
    run('systemctl', 'stop', 'ktrail')
    assert.equal(show('Result'), 'success')
    assert.equal(show('ExecMainStatus'), '0')
    assert.deepEqual(readdirSync('/run/ktrail'), [])
    assert.ok(existsSync(EVENTS))
  })
})
