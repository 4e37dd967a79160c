/** `ktrail watch` through a running agent. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { linkSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import test, { after, before, describe } from 'node:test'
import { cannotRun, ktrail } from '../support/agent.ts'
import { kernelAtLeast } from '../support/kernel.ts'
import { until } from '../support/wait.ts'
import { Watching } from '../running/watching.ts'
import { sharedAgent } from './shared.ts'

const byIdentity = kernelAtLeast(5, 17)
const FOLDER = '/tmp/ktrail-watch'
const SECRET = `${FOLDER}/secret`
const LINK = `${FOLDER}-link`

describe('ktrail watch', { skip: cannotRun() }, () => {
  const agent = sharedAgent()
  before(() => {
    mkdirSync(FOLDER, { recursive: true })
    writeFileSync(SECRET, 'x', { mode: 0o600 })
  })
  after(() => {
    for (const each of [FOLDER, LINK]) rmSync(each, { recursive: true, force: true })
  })

  test('reads, writes, executions, other names, and who was refused; no exporter gets them', async () => {
    const began = performance.now()
    using watching = await Watching.start(FOLDER)
    const lines = await agent().during(() => {
      execFileSync('cat', [SECRET])
      execFileSync('sh', ['-c', `echo more >> ${SECRET}; mv ${SECRET} ${SECRET}.old; mv ${SECRET}.old ${SECRET}`])
      execFileSync('setpriv', ['--reuid=65534', '--clear-groups', 'sh', '-c', `cat ${SECRET} 2>/dev/null || true`])
      execFileSync('sh', ['-c', `cp /bin/true ${FOLDER}/run && ${FOLDER}/run`])
    })
    await watching.shows(
      /^\d\d:\d\d:\d\d read {6}\/tmp\/ktrail-watch\/secret(?: \(\d times\))? {2}pid \d+ uid 0 {2}\S*\/cat \/tmp\/ktrail-watch\/secret$/m,
    )
    if (byIdentity) assert.equal(watching.stdout.match(/ read .*\/cat /g)?.length, 1, watching.stdout)
    console.log(`first line ${Math.round(performance.now() - began)} ms after the command`)
    if (byIdentity) {
      await watching.shows(/ write {5}\/tmp\/ktrail-watch\/secret {2}pid \d+ uid 0 {2}\S*sh -c "?echo more/)
      await watching.shows(/ rename {4}\S*\/secret \S*\/secret\.old /)
      await watching.shows(/ open {6}\/tmp\/ktrail-watch\/secret EACCES {2}pid \d+ uid 65534 /)
    } else assert.match(watching.stderr, /not by identity, so hard links and other mounts stay unseen: /)
    await watching.shows(/ execute {3}\/tmp\/ktrail-watch\/run /)
    assert.deepEqual(
      lines.filter((line) => line.process_kprobe !== undefined),
      [],
    )
  })

  test('by identity, a hard link made before is the same file; a killed command leaves no policy', async () => {
    const listed = async (): Promise<string> => (await ktrail(['policy', 'list'])).stdout
    linkSync(SECRET, LINK)
    using watching = await Watching.start(SECRET, '--read')
    execFileSync('cat', [LINK])
    execFileSync('cat', [SECRET])
    await watching.shows(/ read {6}\/tmp\/ktrail-watch\/secret /)
    assert.equal(watching.stdout.includes(` read      ${LINK} `), byIdentity, watching.stdout)
    assert.match(await listed(), /watch-\d+/)
    watching.child.kill('SIGKILL')
    await until('the policy is gone', async () => !/watch-\d+/.test(await listed()))
  })

  test('in a mount namespace with another file at the path, it names the host, and --by-name sees the file', () => {
    /** `shows`: what to wait for after the read. */
    const watched = (option: string, shows: string): { stderr: string; stdout: string } => {
      const out = `${FOLDER}-own`
      const script = `mount -t tmpfs t /mnt && echo x >/mnt/own || exit 1
        ./ktrail watch ${option} --read /mnt/own >${out} 2>${out}.err & watch=$!
        shows() { until grep -q "$1" ${out}*; do kill -0 $watch || break; sleep 0.2; done; }
        shows Ctrl-C; cat /mnt/own >/dev/null; shows '${shows}'
        kill $watch; wait; cat ${out}; cat ${out}.err >&2; rm ${out} ${out}.err`
      return spawnSync('unshare', ['--mount', 'bash', '-c', script], { encoding: 'utf8', timeout: 120_000 })
    }
    if (byIdentity) {
      const host = watched('', 'Ctrl-C')
      assert.match(
        host.stderr,
        /^ktrail: \/mnt\/own of the host is watched, which is another file than \/mnt\/own here;/m,
      )
    }
    const own = watched('--by-name', '/cat')
    assert.doesNotMatch(own.stderr, /of the host/)
    assert.match(own.stdout, / read +\/mnt\/own .*\/cat /)
  })
})
