/** Runs in the guest of hour.ts, whose root is a Debian with services and an agent that has all policies of the library. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { parse } from 'yaml'
import { freshId, runContainer } from '../e2e/support/runc.ts'
import { until } from '../e2e/support/wait.ts'

const EVENTS = '/library/events.jsonl'
/** Most events of the default bundle. */
const MOST = 20
const IDLE_MS = 20_000
const REQUESTS = 200
const FOLDER = new URL('../../config/policies/library/', import.meta.url)
const OUT = new URL('../../build/library/hour.json', import.meta.url)

const run = (command: string, ...args: string[]): string =>
  execFileSync(command, args, { encoding: 'utf8', timeout: 800_000 })
const sh = (script: string): string => run('sh', '-ec', script)

const defaults = new Set(
  readdirSync(FOLDER)
    .filter((file) =>
      parse(readFileSync(new URL(file, FOLDER), 'utf8'))
        .metadata.annotations['ktrail.dev/bundles'].split(', ')
        .includes('default'),
    )
    .map((file) => basename(file, '.yaml')),
)

let read = 0
/** Events of policies since the last call: policy, program and arguments. */
async function fresh(): Promise<ReadonlyArray<{ readonly policy: string; readonly text: string }>> {
  const mark = `mark-${read}`
  run('/bin/true', mark)
  await until(`the event of ${mark}`, () => readFileSync(EVENTS, 'utf8').includes(`"${mark}"`))
  const lines = readFileSync(EVENTS, 'utf8').split('\n').slice(0, -1)
  const since = lines.slice(read)
  read = lines.length
  return since.flatMap((line) => {
    const { process_kprobe: event } = JSON.parse(line)
    return event === undefined
      ? []
      : [
          {
            policy: event.policy_name,
            text: `${event.process.binary} ${event.function_name} ${JSON.stringify(event.args)}`,
          },
        ]
  })
}

async function web(): Promise<void> {
  for (let i = 0; i < REQUESTS; i++) assert.equal((await fetch('http://127.0.0.1/')).status, 200)
}

async function cron(): Promise<void> {
  await until('the jobs of the day', () => existsSync('/run/daily'), { ms: 300_000 })
}

const HOUR: ReadonlyArray<readonly [string, () => unknown]> = [
  [
    'start of the services',
    () => run('systemctl', 'is-active', 'cron', 'ssh', 'nginx', 'postgresql@15-main', 'rsyslog'),
  ],
  ['idle', () => setTimeout(IDLE_MS)],
  ['cron: the jobs of the day', cron],
  [
    'apt: upgrade of six packages',
    () =>
      sh(
        'DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Options::=--force-unsafe-io install --reinstall /library/packages/*.deb',
      ),
  ],
  ['ssh: a login', () => run('ssh', '-o', 'StrictHostKeyChecking=accept-new', 'root@127.0.0.1', 'id')],
  [`web server: ${REQUESTS} requests`, web],
  ['database: pgbench', () => sh("cd /tmp && su postgres -c 'pgbench -i -q && pgbench -t 100'")],
  ['container: run to its end', () => runContainer('runc', freshId(), '/library/hour')],
  ['logrotate', () => run('logrotate', '--force', '/etc/logrotate.conf')],
]

describe('ordinary hour', () => {
  // Bundles of containers are no programs in a temporary folder.
  process.env['KTRAIL_TMP'] = '/srv'

  it(`the default bundle makes at most ${MOST} events`, async () => {
    const counts: Record<string, Record<string, number>> = {}
    let events = 0
    assert.ok(existsSync(EVENTS), readFileSync('/library/log', 'utf8'))
    for (const [action, does] of HOUR) {
      const from = performance.now()
      await does()
      const found = await fresh()
      console.log(`${action}: ${found.length} events in ${Math.round((performance.now() - from) / 1000)} s`)
      for (const { policy, text } of found) {
        console.log(`  ${policy}: ${text}`)
        const row = (counts[policy] ??= {})
        row[action] = (row[action] ?? 0) + 1
        if (defaults.has(policy)) events++
      }
    }
    console.log(`${events} events of the default bundle (${defaults.size} policies)`)
    // The agent that was quiet is not blind.
    sh('echo x >>/etc/sudoers; cat /etc/shadow >/dev/null')
    const seen = new Set((await fresh()).map(({ policy }) => policy))
    assert.ok(seen.has('sudoers-pam') && seen.has('shadow-read'), [...seen].join(' '))
    mkdirSync(new URL('.', OUT), { recursive: true })
    writeFileSync(OUT, JSON.stringify({ actions: HOUR.map(([action]) => action), counts, events }))
    assert.ok(events <= MOST, `${events} events`)
  })
})
