/**
 * The ordinary hour of a host, in minutes: a Debian with cron, an SSH server, a web server, a database and a container runtime. All policies of
 * the library are loaded. hour.test.ts runs in its guest; `make library` starts it.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FreshRoot, ROOT } from '../support/guest/fresh-root.ts'
import { makeProgram } from '../support/programs.ts'

const PACKAGES =
  'cron logrotate rsyslog openssh-server openssh-client nginx-light postgresql-15 runc busybox-static sudo apt-utils vim-tiny rsync plocate man-db python3-venv'.split(
    ' ',
  )
/** Libraries of the checkout's agent. */
const LIBRARIES = 'libbpf1 libelf1 libisal2 libjemalloc2'.split(' ')
/** Local packages: sudo has sudoers, PAM and setuid programs; iputils-ping sets capabilities; cron and openssh-server have units. */
const UPGRADED = 'sudo iputils-ping cron openssh-server logrotate nginx-light'.split(' ')
/** Installed and removed; tzdata asks its questions with debconf. */
const ADDED = 'hello tzdata'.split(' ')
/** An editor that people use, which adds $LINE after the line $AT, or at the end. */
const EDITOR = `#!/bin/sh
sleep 1.1
at=\${AT:-'$'}
printf '%s\\n' "$at"a "$LINE" . wq | vim.tiny -es "$@"
`
/** Before the services that it watches. Its events are read by the test. */
const AGENT = `[Unit]
Before=cron.service ssh.service nginx.service postgresql.service postgresql@15-main.service rsyslog.service multi-user.target
[Service]
Type=notify
TimeoutStartSec=600
RuntimeDirectory=ktrail
StateDirectory=ktrail
ExecStart=${ROOT}/ktrail run --config /library/config.yaml
StandardOutput=file:/library/log
StandardError=inherit
[Install]
WantedBy=multi-user.target
`
/** The server of the guest's root has a descriptor for each file in the guest's memory: see guest.ts. */
const FORGETS = `[Service]
ExecStart=/bin/sh -c 'while sleep 3; do echo 2 >/proc/sys/vm/drop_caches; done'
[Install]
WantedBy=sysinit.target
`
const CONFIG = {
  policies: [join(ROOT, 'config/policies/library')],
  exporters: { archive: { type: 'file', path: '/library/events.jsonl', fsync: 'never', batch: { max_wait: '20ms' } } },
}
/** Real cron runs the day's jobs, and then leaves a mark. */
const JOB = '* * * * * root [ -e /run/daily ] || { run-parts /etc/cron.daily; touch /run/daily; }\n'

using root = new FreshRoot('bookworm')
const inside = (path: string): string => join(root.folder, path)
root.run('apt-get', 'update')
root.run('apt-get', 'install', '-y', '--no-install-recommends', ...PACKAGES, ...LIBRARIES)
for (const [folder, names] of Object.entries({ packages: UPGRADED, added: ADDED })) {
  mkdirSync(inside(`library/${folder}`), { recursive: true })
  root.run('sh', '-c', `cd /library/${folder} && apt-get download ${names.join(' ')}`)
}
root.run('systemctl', 'disable', 'plocate-updatedb.timer')
root.run('systemctl', 'mask', 'man-db.timer')
root.run(
  'sh',
  '-c',
  'ssh-keygen -q -t ed25519 -N "" -f /root/.ssh/id_ed25519 && cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys',
)
makeProgram('library/attack', inside('library/attack'))
writeFileSync(inside('library/edits'), EDITOR, { mode: 0o755 })
writeFileSync(inside('library/config.yaml'), JSON.stringify(CONFIG))
writeFileSync(inside('etc/systemd/system/library.service'), AGENT)
writeFileSync(inside('etc/cron.d/daily'), JOB)
writeFileSync(inside('etc/systemd/system/forgets.service'), FORGETS)
root.run('systemctl', 'enable', 'library.service', 'forgets.service')
root.boot('6.12', 'test/library/hour.test.ts')
