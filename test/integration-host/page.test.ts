/**
 * The status page in a real browser, as a user sees and uses it: narrow and wide, light and dark, with hostile names; and once the page
 * of a real agent, which has no policies or hooks with hostile names and no losses on request.
 */
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Browser, HTTPRequest, Page } from 'puppeteer-core'
import type { Event } from '../../exporters/contract/event.ts'
import { RawAgent } from '../e2e/support/raw.ts'
import { until } from '../e2e/support/wait.ts'
import { startPageAgent } from '../support/page/agent.ts'
import type { PageAgent } from '../support/page/agent.ts'
import { findBrowser, openPage, startBrowser, violations } from '../support/page/browser.ts'
import { enabledPolicies } from '../unit/collector/support/policies.ts'
import { Folder } from '../unit/exporters/support/folder.ts'
import { NODE, place } from './agent/support/place.ts'
import { file, int, makeExec, makeExit, makeHook, makeKprobe, makeProcess } from '../unit/exporters/support/events.ts'

const found = findBrowser()
const skip = typeof found === 'string' ? false : found.missing
if (skip !== false) console.log(`page: skipped: ${skip}`)

const PICTURES = fileURLToPath(new URL('../../build/test/', import.meta.url))

const HOSTILE = [
  '<script>document.title = "gone"</script>',
  '<img src=x onerror=alert(1)>',
  '/tmp/\u202Egpj.exe',
  '/tmp/a\u0000b\u001B[31mc\nd\u009B',
  `/tmp/${'n'.repeat(4096)}`,
  '/tmp/\u{E0041}z\u0301\u0301\u0301\u0301\u0301\u0301',
]

const now = (): { sec: number; nsec: number } => ({ sec: Math.floor(Date.now() / 1000), nsec: 123_456_789 })

function dayOfEvents(): Event[] {
  const cat = makeProcess({ binary: '/usr/bin/cat', arguments: '/etc/shadow', pid: 4711 })
  const hook = makeHook({ policy: 'file-monitoring', action: 'override' })
  return [
    makeExec({ seq: 1, time: now(), process: cat }),
    makeKprobe({ seq: 2, time: now(), process: cat, hook, args: [file('/etc/shadow'), int(4)], returned: int(-13) }),
    makeExit({ seq: 3, time: now(), process: cat, status: 1 }),
    makeExec({
      seq: 4,
      time: now(),
      process: makeProcess({
        binary: '/usr/bin/curl',
        arguments: '-sS https://example.org/install.sh -o /tmp/install.sh',
      }),
    }),
    makeExit({
      seq: 5,
      time: now(),
      process: makeProcess({ binary: '/usr/sbin/sshd', arguments: '-D' }),
      signal: 'SIGKILL',
    }),
  ]
}

const hostileEvents = (): Event[] =>
  HOSTILE.flatMap((name, i) => [
    makeExec({ seq: 10 + i, time: now(), process: makeProcess({ binary: name, arguments: name }) }),
    makeKprobe({ seq: 20 + i, time: now(), hook: makeHook({ policy: name }), args: [file(name)] }),
  ])

const EXPORTERS =
  '{ archive: { type: file, path: FOLDER/events.jsonl }, ' +
  'loki: { type: otlp, endpoint: "http://127.0.0.1:9", spool: { dir: FOLDER/spool, max_size: 64MiB }, retry: { initial: 1h, max: 1h } } }'
const POLICIES = enabledPolicies(
  { name: 'file-monitoring', modes: ['fexit', 'fexit', 'join'] },
  { name: 'network', modes: ['kprobe'], skipped: ['tcp_connect_new'] },
)
const LOSSES = [
  { hook: '*', reason: 'ring_full_hook', count: 1234 },
  { hook: 'security_file_open', reason: 'missed_run', count: 3 },
  { hook: '*', reason: 'join_full', count: 0 },
]

/** Evaluates an expression of JavaScript in the page. */
const ask = async (page: Page, expression: string): Promise<string> => String(await page.evaluate(expression))
const textOf = (page: Page, selector: string): Promise<string> => page.$eval(selector, (node) => node.textContent ?? '')
const rowsOf = (page: Page): Promise<string[]> =>
  page.$$eval('#events li', (rows) => rows.map((row) => row.textContent ?? ''))
const focusOf = (page: Page): Promise<string> =>
  ask(page, 'document.activeElement.nodeName.toLowerCase() + "#" + document.activeElement.id')
const has = (page: Page, selector: string, text: string): Promise<boolean> =>
  until(`${selector} to contain "${text}"`, async () => (await textOf(page, selector)).includes(text))

/** Hides the page, as when another tab of the browser is in front. */
async function hide(page: Page, hidden: boolean): Promise<void> {
  const property = `Object.defineProperty(document, 'hidden', { value: ${hidden}, configurable: true })`
  await page.evaluate(`${property}; document.dispatchEvent(new Event('visibilitychange'))`)
}

async function unlock(page: Page, token: string): Promise<void> {
  await page.type('#token', token)
  await page.keyboard.press('Enter')
}

describe('page', { skip }, () => {
  let browser: Browser
  let agent: PageAgent

  before(async () => {
    mkdirSync(PICTURES, { recursive: true })
    if (typeof found !== 'string') return
    browser = await startBrowser(found)
    agent = await startPageAgent({ exporters: EXPORTERS, policies: POLICIES, losses: LOSSES })
    await agent.publish(dayOfEvents())
  })
  after(async () => {
    await browser?.close()
    await agent?.[Symbol.asyncDispose]()
  })

  for (const width of [360, 1280]) {
    for (const scheme of ['light', 'dark'] as const) {
      it(`${width} px, ${scheme}: numbers and hostile events, readable, without errors or foreign requests`, async () => {
        const { page, errors, foreign } = await openPage(browser, agent.url, width, scheme)
        await has(page, '#senders', 'retrying')
        assert.match(await textOf(page, '#state'), /^Degraded$/)
        assert.match(await textOf(page, '#notice'), /^The agent works, but:.*exporter loki is retrying: /)
        assert.match(await textOf(page, '#lost'), /ring_full_hook1,234/)
        assert.match(await textOf(page, '#list'), /this kernel has no tcp_connect_new/)
        await page.screenshot({ path: `${PICTURES}page-${width}-${scheme}-locked.png`, fullPage: true })
        assert.deepEqual(await violations(page), [])
        await unlock(page, agent.token)
        await has(page, '#connection', 'Live')
        await agent.publish([...hostileEvents(), ...dayOfEvents()])
        const rows = await until('all rows', async () => {
          const all = await rowsOf(page)
          return all.length === HOSTILE.length * 2 + 5 && all
        })
        assert.match(rows[0] ?? '', /^[\d:.]{12} exit \/usr\/sbin\/sshd -D SIGKILL$/)
        assert.match(
          rows[3] ?? '',
          / kprobe \/usr\/bin\/cat \/etc\/shadow security_file_permission\(\/etc\/shadow, 4\) = -13 denied OVERRIDE file-monitoring$/,
        )
        const all = rows.join('\n')
        assert.match(all, /<script>document/)
        assert.match(all, /\/tmp\/\\u202egpj\.exe/)
        assert.match(all, /a\\u0000b\\u001b\[31mc\\u000ad\\u009b/)
        assert.ok(rows.every((row) => row.length < 1_500))
        assert.equal(await page.$('#events script, #events img'), null)
        assert.equal(await page.title(), 'ktrail web-1')
        assert.equal(await ask(page, 'document.documentElement.scrollWidth - innerWidth'), '0')
        await page.screenshot({ path: `${PICTURES}page-${width}-${scheme}.png`, fullPage: true })
        assert.deepEqual(await violations(page), [])
        await page.click('#events li:nth-child(4) button')
        assert.match(await textOf(page, '#json'), /"binary": "\/usr\/bin\/cat"/)
        await page.screenshot({ path: `${PICTURES}page-${width}-${scheme}-record.png` })
        assert.deepEqual(await violations(page), [])
        assert.deepEqual([errors, foreign], [[], []])
        await page.browserContext().close()
      })
    }
  }

  it('everything is done with the keyboard', async () => {
    const { page, errors } = await openPage(browser, agent.url, 1280, 'light')
    await has(page, '#state', 'Degraded')
    await page.keyboard.press('Tab')
    assert.equal(await ask(page, 'document.activeElement.textContent'), 'Skip to live events')
    await page.keyboard.press('Enter')
    await page.keyboard.press('Tab')
    assert.equal(await focusOf(page), 'input#token')
    await page.keyboard.type(agent.token)
    await page.keyboard.press('Enter')
    await has(page, '#connection', 'Live: all')
    assert.equal(await focusOf(page), 'input#text')
    await page.keyboard.type('/usr/bin/curl')
    await has(page, '#connection', 'Live: events that pass the filter')
    await until('one reader', () => agent.readers === 1)
    await agent.publish(dayOfEvents())
    await until('the row that fits', async () => (await rowsOf(page)).length === 1)
    // Shift-Tab leaves the field; letters are keys of the page only where nothing is typed.
    while ((await focusOf(page)) !== 'button#pause') await page.keyboard.press('Tab')
    await page.keyboard.press('p')
    assert.equal(await page.$eval('#pause', (button) => button.ariaPressed), 'true')
    await agent.publish(dayOfEvents())
    await has(page, '#counts', 'Newer events waiting: 1.')
    assert.equal((await rowsOf(page)).length, 1)
    await page.keyboard.press('p')
    await until('the row that waited', async () => (await rowsOf(page)).length === 2)
    while ((await ask(page, 'document.activeElement.closest("#events")')) === 'null') await page.keyboard.press('Tab')
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Enter')
    assert.equal(await page.$eval('#record', (dialog) => dialog.hasAttribute('open')), true)
    assert.equal(await focusOf(page), 'button#close')
    await page.keyboard.press('Escape')
    assert.equal(await page.$eval('#record', (dialog) => dialog.hasAttribute('open')), false)
    assert.equal(await ask(page, 'document.activeElement.closest("li").matches(":nth-child(2)")'), 'true')
    await page.keyboard.press('/')
    assert.equal(await focusOf(page), 'input#text')
    const names = JSON.stringify(await page.accessibility.snapshot({ interestingOnly: false }))
    for (const name of [
      'Text',
      'Type',
      'Policy',
      'Namespace',
      'Pod',
      'Pause',
      'Live events, newest first',
      'Queue of loki',
      'Spool of loki',
    ]) {
      assert.ok(names.includes(`"name":"${name}"`), `${name} in ${names}`)
    }
    assert.deepEqual(errors, [])
    await page.browserContext().close()
  })

  it('a wrong token is refused with a new prompt; a reload keeps the right one', async () => {
    const { page, errors } = await openPage(browser, agent.url, 1280, 'light')
    await unlock(page, 'wrong')
    await has(page, '#token-hint', 'The agent refused this token.')
    assert.equal(await focusOf(page), 'input#token')
    await unlock(page, agent.token)
    await has(page, '#connection', 'Live')
    await page.reload()
    await has(page, '#connection', 'Live')
    assert.deepEqual(errors, ['Failed to load resource: the server responded with a status of 401 (Unauthorized)'])
    await page.browserContext().close()
  })

  it('a flood leaves 500 rows and a count of the others; a hidden page reads nothing', async () => {
    const { page, errors } = await openPage(browser, agent.url, 1280, 'light')
    await unlock(page, agent.token)
    await has(page, '#connection', 'Live')
    const cat = makeProcess({ binary: '/usr/bin/cat' })
    await agent.publish(Array.from({ length: 3000 }, (_, i) => makeExec({ seq: 100 + i, time: now(), process: cat })))
    await has(page, '#counts', 'were too many to show')
    await until('500 rows', async () => (await rowsOf(page)).length === 500)
    await agent.publish(dayOfEvents())
    await until('the newest first', async () => (await rowsOf(page))[0]?.includes('SIGKILL') === true)
    assert.equal((await rowsOf(page)).length, 500)
    await hide(page, true)
    await until('no reader', () => agent.readers === 0)
    await hide(page, false)
    await has(page, '#connection', 'Live')
    assert.deepEqual(errors, [])
    await page.browserContext().close()
  })

  it('a wait ends with a sentence: for an agent that does not answer, and once it does', async () => {
    const { page, errors } = await openPage(browser, agent.url, 1280, 'light')
    await page.setRequestInterception(true)
    const held: HTTPRequest[] = []
    page.on('request', (request) => void (request.url() === agent.url ? request.continue() : held.push(request)))
    await unlock(page, agent.token)
    await has(page, '#connection', 'No live events: the agent has not answered yet. Waiting.')
    await has(page, '#notice', 'The agent does not answer')
    await has(page, '#state', 'No answer')
    page.removeAllListeners('request')
    page.on('request', (request) => void request.continue())
    await Promise.all(held.map((request) => request.continue().catch(() => undefined)))
    await has(page, '#connection', 'Live: all events.')
    await has(page, '#state', 'Degraded')
    assert.equal(await textOf(page, '#notice').then((text) => text.includes('does not answer')), false)
    assert.deepEqual(errors, [])
    await page.browserContext().close()
  })

  it('large records leave fewer rows, even while they wait: at most 16 MiB each', async () => {
    const { page, errors } = await openPage(browser, agent.url, 1280, 'light')
    await unlock(page, agent.token)
    await has(page, '#connection', 'Live')
    // Two bytes a character in the page's memory.
    const cwd = `/${'\u8a9e'.repeat(500_000)}`
    const publish = (name: string): Promise<void> =>
      agent.publish([makeExec({ seq: 0, time: now(), process: makeProcess({ binary: `/bin/${name}`, cwd }) })])
    for (let i = 0; i < 18; i++) {
      await publish(`shown-${i}`)
      await until('it is shown', async () => (await rowsOf(page))[0]?.includes(`/bin/shown-${i} `) === true)
    }
    assert.equal((await rowsOf(page)).length, 16)
    await page.click('#pause')
    for (let i = 0; i < 18; i++) {
      await publish(`waits-${i}`)
      await has(page, '#counts', `Newer events waiting: ${Math.min(i + 1, 16)}.`)
    }
    assert.deepEqual(errors, [])
    await page.browserContext().close()
  })

  it('events of LSM hooks and tracepoints show their call and their policy', async () => {
    await using own = await startPageAgent({ exporters: EXPORTERS, policies: POLICIES })
    const { page } = await openPage(browser, own.url, 1280, 'light')
    await unlock(page, own.token)
    await has(page, '#connection', 'Live')
    const common = { time: now(), process: makeProcess({ binary: '/bin/a', arguments: '' }), args: [int(4)] }
    const change = { ...common, returned: undefined }
    const lsm = makeHook({ type: 'process_lsm', functionName: 'file_open', policy: 'files' })
    const traced = makeHook({ type: 'process_tracepoint', functionName: 'net:xmit', policy: 'packets' })
    await own.publish([
      makeKprobe({ ...change, type: 'process_lsm', hook: lsm }),
      makeKprobe({ ...change, type: 'process_tracepoint', hook: traced }),
    ])
    const rows = await until('both rows', async () => {
      const all = await rowsOf(page)
      return all.length === 2 && all
    })
    assert.match(rows[1] ?? '', / lsm \/bin\/a +file_open\(4\) files$/)
    assert.match(rows[0] ?? '', / tracepoint \/bin\/a +net:xmit\(4\) packets$/)
    await page.browserContext().close()
  })

  it('the page of a real agent: ready, its policy and exporter, live events', async () => {
    using folder = new Folder()
    const { config } = place(folder)
    const server = { http: '127.0.0.1:0', grpc: 'disabled', token: 'open-sesame' }
    await using real = new RawAgent(config({ server }), { command: NODE })
    await real.ready()
    const { page, errors, foreign } = await openPage(browser, `${real.url}/`, 1280, 'light')
    await unlock(page, 'open-sesame')
    await has(page, '#state', 'Ready')
    await has(page, '#connection', 'Live')
    await has(page, '#senders', 'archive')
    assert.match(await textOf(page, '#list'), /watched/)
    await real.request(3)
    const rows = await until('the events', async () => {
      const rowsNow = (await rowsOf(page)).filter((row) => row.includes('security_file_permission'))
      return rowsNow.length === 3 && rowsNow
    })
    for (const row of rows) assert.match(row, / kprobe .*security_file_permission\(\/watched\/f, 4\) = 0 watched$/)
    assert.deepEqual(await violations(page), [])
    assert.deepEqual([errors, foreign], [[], []])
    await page.browserContext().close()
  })

  it('with server.token nothing is shown before it is entered', async () => {
    await using closed = await startPageAgent({ exporters: EXPORTERS, policies: POLICIES, token: 'open-sesame' })
    const { page, errors } = await openPage(browser, closed.url, 360, 'dark')
    await has(page, '#state', 'Locked')
    assert.equal(await page.$eval('#numbers', (node) => node.checkVisibility()), false)
    await page.screenshot({ path: `${PICTURES}page-360-dark-token.png` })
    assert.deepEqual(await violations(page), [])
    await unlock(page, 'open-sesame')
    await has(page, '#state', 'Ready')
    await has(page, '#connection', 'Live')
    assert.deepEqual(errors, [])
    await page.browserContext().close()
  })

  it('the page of an empty agent shows the next step, and a stopped agent is noticed', async () => {
    await using empty = await startPageAgent({
      exporters: '{ archive: { type: file, path: FOLDER/events.jsonl } }',
      policies: enabledPolicies(),
    })
    empty.ready = false
    const { page, errors } = await openPage(browser, empty.url, 1280, 'dark')
    await has(page, '#state', 'Not ready')
    assert.match(await textOf(page, '#notice'), /starting or stopping/)
    assert.match(await textOf(page, '#types'), /No events yet\. Run a command/)
    assert.match(await textOf(page, '#lost'), /Nothing was lost/)
    assert.match(await textOf(page, '#senders'), /archive.*healthy/)
    assert.match(await textOf(page, '#list'), /No policies: .*TracingPolicy/)
    await unlock(page, empty.token)
    await has(page, '#empty', 'No events yet. Run a command')
    await page.screenshot({ path: `${PICTURES}page-1280-dark-empty.png`, fullPage: true })
    assert.deepEqual(await violations(page), [])
    assert.deepEqual(errors, [])
    await empty.stop()
    await has(page, '#state', 'No answer')
    await has(page, '#connection', 'No live events')
    assert.match(await textOf(page, '#notice'), /does not answer since .*numbers are from that time/)
    await page.screenshot({ path: `${PICTURES}page-1280-dark-gone.png` })
    await page.browserContext().close()
  })
})
