/** `node deploy/grafana/write-dashboards.ts` writes the dashboards of deploy/grafana/dashboards/ anew, from the files of pages/. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { parse } from 'yaml'
import { dashboardOf } from './panels.ts'

const PAGES = new URL('pages/', import.meta.url)

/** The contents of the files, by name. */
export function dashboards(): Readonly<Record<string, string>> {
  return Object.fromEntries(
    readdirSync(PAGES).map((file) => {
      const page = dashboardOf(parse(readFileSync(new URL(file, PAGES), 'utf8'))).build()
      return [file.replace('.yaml', '.json'), `${JSON.stringify(page, null, 2)}\n`]
    }),
  )
}

if (import.meta.main) {
  for (const [name, text] of Object.entries(dashboards())) {
    writeFileSync(new URL(`dashboards/${name}`, import.meta.url), text)
  }
}
