/** Draws docs/pictures/status-page-light.webp and -dark.webp, the pictures of docs/how-to/status-page.md: `node test/support/page/picture.ts`. */
import { join } from 'node:path'
import type { Event, Process } from '../../../exporters/contract/event.ts'
import { enabledPolicies } from '../../unit/collector/support/policies.ts'
import {
  file,
  int,
  makeExec,
  makeExit,
  makeHook,
  makeKprobe,
  makeProcess,
} from '../../unit/exporters/support/events.ts'
import { startPageAgent } from './agent.ts'
import { findBrowser, openPage, startBrowser } from './browser.ts'

const PICTURES = join(import.meta.dirname, '../../../docs/pictures')
const WIDTH = 1000

/** Events of a host: programs write and read files of /etc, and one of them is refused. */
function events(): Event[] {
  const hook = makeHook({ policy: 'file-monitoring' })
  let seq = 0
  const time = { sec: Math.floor(Date.now() / 1000), nsec: 0 }
  const at = (): { seq: number; time: Event['time'] } => ({ seq: ++seq, time: { ...time, nsec: seq * 37_000_000 } })
  const run = (process: Process, path: string, access: number, status = 0): Event[] => [
    makeExec({ ...at(), process }),
    makeKprobe({ ...at(), process, hook, args: [file(path), int(access)], returned: int(status === 0 ? 0 : -13) }),
    makeExit({ ...at(), process, status }),
  ]
  const of = (binary: string, words: string, uid = 0): Process =>
    makeProcess({ binary, arguments: words, uid, pid: 4711 })
  return [
    ...run(of('/usr/sbin/useradd', 'deploy'), '/etc/passwd', 2),
    ...run(of('/usr/bin/sed', '-i s/no/yes/ /etc/ssh/sshd_config'), '/etc/ssh/sshd_config', 2),
    ...run(of('/usr/bin/cat', '/etc/shadow', 33), '/etc/shadow', 4, 1),
  ]
}

const POLICIES = enabledPolicies({ name: 'file-monitoring', modes: ['fexit', 'fexit', 'fexit', 'fexit'] })
let hits = 0

const found = findBrowser()
if (typeof found !== 'string') throw new Error(found.missing)
await using agent = await startPageAgent({
  exporters:
    '{ archive: { type: file, path: FOLDER/events.jsonl }, audit: { type: file, path: FOLDER/audit.jsonl, spool: { dir: FOLDER/spool } } }',
  policies: { list: () => POLICIES.list().map((policy) => ({ ...policy, events: hits })) },
})
const browser = await startBrowser(found)
try {
  for (const scheme of ['light', 'dark'] as const) {
    const { page } = await openPage(browser, agent.url, WIDTH, scheme)
    await page.waitForFunction("document.querySelector('#senders').textContent.includes('audit')")
    await page.type('#token', agent.token)
    await page.keyboard.press('Enter')
    await page.waitForFunction("document.querySelector('#connection').textContent.includes('Live')")
    const made = events()
    await agent.publish(made)
    hits += made.filter(({ type }) => type === 'process_kprobe').length
    await page.waitForFunction("document.querySelectorAll('#events li').length === 9")
    // Rates come with the second reading of the numbers after that.
    await page.waitForFunction("/[1-9].*\\/s/.test(document.querySelector('#types').textContent)")
    await page.screenshot({ path: join(PICTURES, `status-page-${scheme}.webp`), quality: 70, fullPage: true })
    await page.browserContext().close()
  }
} finally {
  await browser.close()
}
