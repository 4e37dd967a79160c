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
/**
 * In the list of administration. Twenty are the goal. Perl, in which debconf and pg_ctlcluster are written, makes five: it reads the passwords to
 * look up a user, and an exception would hide an intruder's script, too.
 */
const MOST_ADMINISTRATION = 22
const IDLE_MS = 20_000
const REQUESTS = 200
const FOLDER = new URL('../../config/policies/library/', import.meta.url)
const OUT = new URL('../../build/library/hour.json', import.meta.url)

/** A package without dependencies, because the guest has no network. */
const VENV = `mkdir -p /srv/project && cd /srv/project && printf 'from setuptools import setup\nsetup(name="one", version="1")\n' >setup.py
python3 -m venv /srv/venv && /srv/venv/bin/pip -q install --no-index --no-build-isolation --no-deps .`
/** `administration`: without the hour before it. */
const ONLY = process.env['KTRAIL_HOUR']

const run = (command: string, ...args: string[]): string =>
  execFileSync(command, args, { encoding: 'utf8', timeout: 800_000 })
const sh = (script: string): string => run('sh', '-ec', script)
// The test is a unit, which has none.
process.env['HOME'] = '/root'
process.env['EDITOR'] = '/library/edits'

const annotation = (file: string, key: string): string =>
  parse(readFileSync(new URL(file, FOLDER), 'utf8')).metadata.annotations[`ktrail.dev/${key}`]
const policiesWith = (key: string, value: string): Set<string> =>
  new Set(
    readdirSync(FOLDER)
      .filter((file) => annotation(file, key).split(', ').includes(value))
      .map((file) => basename(file, '.yaml')),
  )
const defaults = policiesWith('bundles', 'default')
const critical = policiesWith('severity', 'critical')

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

/** Each command of a line by itself, with an editor that changes its file. */
const ADMINISTRATION: ReadonlyArray<readonly [string, string]> = [
  ['useradd', 'useradd -m -s /bin/bash alice'],
  ['groupadd', 'groupadd devs'],
  ['usermod', 'usermod -aG devs alice'],
  ['gpasswd', 'gpasswd -a alice staff'],
  ['passwd', "printf 'aW9v4xQz\naW9v4xQz\n' | passwd alice"],
  ['chage', 'chage -M 90 alice'],
  ['vipw', "LINE='bob:x:2000:2000::/:/bin/sh' vipw"],
  ['userdel, groupdel', 'userdel -r alice 2>/dev/null && groupdel devs'],
  ['visudo', "LINE='# edited' visudo"],
  ['visudo of a file in sudoers.d', "LINE='# edited' visudo -f /etc/sudoers.d/admins"],
  ['crontab -e', "LINE='0 4 * * * true' crontab -e && crontab -l | grep -q true"],
  [
    'systemctl edit',
    "LINE='[Service]' AT=3 script -qec 'systemctl edit nginx.service' /dev/null && grep -q Service /etc/systemd/system/nginx.service.d/override.conf",
  ],
  ['apt: install', 'apt-get -q -y -o Dpkg::Options::=--force-unsafe-io install --reinstall /library/added/*.deb'],
  ['apt: remove', 'apt-get -q -y remove hello'],
  ['database: restart', 'pg_ctlcluster 15 main restart'],
  ['backup: tar of /etc', 'tar -C / -czf /var/backups/etc.tgz etc'],
  ['backup: rsync of /etc', 'rsync -a /etc/ /var/backups/etc/'],
  [
    'ssh-copy-id',
    'ssh-keygen -q -t ed25519 -N "" -f /srv/other && ssh-copy-id -f -o StrictHostKeyChecking=accept-new -i /srv/other.pub root@127.0.0.1 2>/dev/null',
  ],
  ['scp', 'scp -q /etc/hostname root@127.0.0.1:/srv/'],
  [
    'ssh: a host key anew',
    'ssh-keygen -R 127.0.0.1 2>/dev/null; ssh -o StrictHostKeyChecking=accept-new root@127.0.0.1 id',
  ],
  ['updatedb', 'updatedb'],
  ['man-db', 'mandb -q'],
  ['venv and pip', VENV],
]

describe('ordinary hour', () => {
  // Bundles of containers are no programs in a temporary folder.
  process.env['KTRAIL_TMP'] = '/srv'

  const counts: Record<string, Record<string, number>> = {}
  /** Runs an action. Returns the policies of its events, of the default bundle only. */
  async function eventsOf(action: string, does: () => unknown): Promise<string[]> {
    const from = performance.now()
    await does()
    const found = await fresh()
    console.log(`${action}: ${found.length} events in ${Math.round((performance.now() - from) / 1000)} s`)
    for (const { policy, text } of found) {
      console.log(`  ${policy}: ${text}`)
      const row = (counts[policy] ??= {})
      row[action] = (row[action] ?? 0) + 1
    }
    return found.map(({ policy }) => policy).filter((policy) => defaults.has(policy))
  }

  const events: string[] = []
  const skip = ONLY !== undefined && `KTRAIL_HOUR=${ONLY}`
  it(`the default bundle makes at most ${MOST} events`, { skip }, async () => {
    assert.ok(existsSync(EVENTS), readFileSync('/library/log', 'utf8'))
    for (const [action, does] of HOUR) events.push(...(await eventsOf(action, does)))
    console.log(`${events.length} events of the default bundle (${defaults.size} policies)`)
    assert.ok(events.length <= MOST, `${events.length} events`)
  })

  it(`administration makes at most ${MOST_ADMINISTRATION} more, of which none is critical`, async () => {
    const more: string[] = []
    for (const [action, script] of ADMINISTRATION) more.push(...(await eventsOf(action, () => sh(script))))
    const urgent = more.filter((policy) => critical.has(policy))
    console.log(`administration: ${more.length} events of the default bundle, ${urgent.length} critical`)
    mkdirSync(new URL('.', OUT), { recursive: true })
    const actions = [...HOUR, ...ADMINISTRATION].map(([action]) => action)
    writeFileSync(OUT, JSON.stringify({ actions, counts, events: events.length, administration: more.length }))
    assert.deepEqual(urgent, [])
    assert.ok(more.length <= MOST_ADMINISTRATION, `${more.length} events`)
  })

  it('the agent that was quiet is not blind', async () => {
    sh('echo x >>/etc/sudoers; echo x::0:0::/: >>/etc/passwd; cat /etc/shadow /etc/ssh/ssh_host_ed25519_key >/dev/null')
    const seen = new Set((await fresh()).map(({ policy }) => policy))
    const missed = ['sudoers-pam', 'shadow-read', 'shadow-passwd', 'ssh-keys'].filter((policy) => !seen.has(policy))
    assert.deepEqual(missed, [], [...seen].join(' '))
  })
})
