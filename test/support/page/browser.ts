/** A headless Chromium for tests of the status page. */
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { launch } from 'puppeteer-core'
import type { Browser, Page } from 'puppeteer-core'

const PATHS = ['/usr/bin/chromium-headless-shell', '/usr/bin/chromium']
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** The browser's path, or why there is none. */
export function findBrowser(): string | { readonly missing: string } {
  const path = PATHS.find((each) => existsSync(each))
  return path ?? { missing: `no ${PATHS.join(' or ')}: run deploy/setup/packages.sh test` }
}

export function startBrowser(executablePath: string): Promise<Browser> {
  // Root may not use the sandbox; the browser shows our own page only.
  return launch({ executablePath, headless: 'shell', args: ['--no-sandbox', '--disable-dev-shm-usage'] })
}

export interface Watched {
  readonly page: Page
  /** Errors of the console and of scripts. */
  readonly errors: string[]
  /** Requests to another origin than that of `url`. */
  readonly foreign: string[]
}

/** A new page of this width, which is watched from the first request on. */
export async function openPage(
  browser: Browser,
  url: string,
  width: number,
  scheme: 'dark' | 'light',
): Promise<Watched> {
  const context = await browser.createBrowserContext()
  const page = await context.newPage()
  const errors: string[] = []
  const foreign: string[] = []
  page.on('console', (message) => {
    if (['error', 'warn'].includes(message.type())) errors.push(message.text())
  })
  page.on('pageerror', (error) => errors.push(String(error)))
  page.on('request', (request) => {
    if (!request.url().startsWith(url)) foreign.push(request.url())
  })
  await page.setViewport({ width, height: width < 600 ? 740 : 900 })
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }])
  await page.goto(url)
  return { page, errors, foreign }
}

/** Violations of WCAG 2.1 A and AA and of good practice that axe finds, such as contrast and names; one line each. */
export async function violations(page: Page): Promise<string[]> {
  await page.evaluate(AXE)
  const found: unknown =
    await page.evaluate(`axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) =>
    violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => id + ': ' + html + ': ' + failureSummary)))`)
  return Array.isArray(found) ? found.map(String) : [`axe gave ${JSON.stringify(found)}`]
}
