/** The files of the status page, served from memory. */
import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { ownFile } from '../../config/base/own.ts'
import type { Access } from './access.ts'
import type { Page, Pages } from './http.ts'

const HTML = 'text/html'
const CSS = 'text/css'
const SCRIPT = 'text/javascript'

/** File and type by path. */
const FILES: Readonly<Record<string, readonly [file: string, type: string]>> = {
  '/': ['index.html', HTML],
  '/page.css': ['page.css', CSS],
  '/page.js': ['page.js', SCRIPT],
  '/numbers.js': ['numbers.js', SCRIPT],
  '/live.js': ['live.js', SCRIPT],
  '/show.js': ['show.js', SCRIPT],
  '/icon.svg': ['icon.svg', 'image/svg+xml'],
}

/** Nothing from elsewhere, nothing inline, and no text that becomes HTML. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ')

const HEADERS = {
  'Content-Security-Policy': POLICY,
  'Referrer-Policy': 'no-referrer',
  'X-Frame-Options': 'DENY',
  // Stored, but checked each time: the agent may have another version since.
  'Cache-Control': 'no-cache',
}

/** Reads the files. `access` becomes attributes of the page, so that it requests no page that it may not read. */
export function readAssets({
  numbersNeed,
  eventsNeed,
  hint,
}: Pick<Access, 'numbersNeed' | 'eventsNeed' | 'hint'>): Pages {
  const values: Readonly<Record<string, string>> = { numbersNeed, eventsNeed, hint }
  return Object.fromEntries(
    Object.entries(FILES).map(([path, [file, type]]) => {
      const text = readFileSync(ownFile(`collector/telemetry/page/${file}`), 'utf8')
      return [
        path,
        asset(
          text.replace(/\{\{(\w+)\}\}/g, (_, key: string) => escaped(values[key] ?? '')),
          type,
        ),
      ]
    }),
  )
}

function asset(text: string, type: string): Page {
  const body = Buffer.from(text)
  const headers = { ...HEADERS, ETag: `"${hash('sha256', body, 'base64url').slice(0, 22)}"` }
  return ({ fields }) => {
    const known = fields.get('if-none-match')?.split(/ *, */) ?? []
    const same = known.some((tag) => tag.replace(/^W\//, '') === headers.ETag)
    return { status: same ? 304 : 200, type: `${type}; charset=utf-8`, headers, body: same ? '' : body }
  }
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`)
}
