/**
 * The ordinary hour of a host, in minutes: a Debian with cron, an SSH server, a web server, a database and a container runtime. All policies of
 * the library are loaded. hour.test.ts runs in its guest; `make library` starts it.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FreshRoot, ROOT } from '../support/guest/fresh-root.ts'
import { makeProgram } from '../support/programs.ts'

const PACKAGES =
  'cron logrotate rsyslog openssh-server openssh-client nginx-light postgresql-15 runc busybox-static sudo'.split(' ')
/** Libraries of the checkout's agent. */
const LIBRARIES = 'libbpf1 libelf1 libisal2 libjemalloc2'.split(' ')
/** Local packages: sudo has sudoers, PAM and setuid programs; iputils-ping sets capabilities; cron and openssh-server have units. */
const UPGRADED = 'sudo iputils-ping cron openssh-server logrotate nginx-light'.split(' ')
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
mkdirSync(inside('library/packages'), { recursive: true })
root.run('sh', '-c', `cd /library/packages && apt-get download ${UPGRADED.join(' ')}`)
root.run(
  'sh',
  '-c',
  'ssh-keygen -q -t ed25519 -N "" -f /root/.ssh/id_ed25519 && cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys',
)
makeProgram('library/attack', inside('library/attack'))
writeFileSync(inside('library/config.yaml'), JSON.stringify(CONFIG))
writeFileSync(inside('etc/systemd/system/library.service'), AGENT)
writeFileSync(inside('etc/cron.d/daily'), JOB)
root.run('systemctl', 'enable', 'library.service')
root.boot('6.12', 'test/library/hour.test.ts')
