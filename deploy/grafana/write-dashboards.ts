/** `node deploy/grafana/write-dashboards.ts` writes the dashboards of deploy/grafana/dashboards/ anew. */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { agentHealth } from './agent-health.ts'
import { fileAccess } from './file-access.ts'
import { processes } from './processes.ts'

/** The contents of the files, by name. */
export function dashboards(): Readonly<Record<string, string>> {
  const pages = { 'agent-health': agentHealth(), 'file-access': fileAccess(), processes: processes() }
  return Object.fromEntries(
    Object.entries(pages).map(([name, page]) => [`${name}.json`, `${JSON.stringify(page.build(), null, 2)}\n`]),
  )
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [name, text] of Object.entries(dashboards())) {
    writeFileSync(new URL(`dashboards/${name}`, import.meta.url), text)
  }
}
