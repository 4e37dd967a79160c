/** A refused open as open-secrets.yaml of the demo reports it, and the queries that are to find it. */
import assert from 'node:assert/strict'
import type { HookEvent } from '../../../exporters/contract/event.ts'
import { int, makeHook, makeKprobe, text } from '../../unit/exporters/support/events.ts'
import { blocks, read } from '../../unit/support/pages.ts'

const EACCES = -13
const hook = makeHook({ policy: 'open-secrets', functionName: 'do_sys_openat2', indexes: [1] })

/** `returned`: the result of the open, a descriptor or an error. */
export const openOf = (path: string, returned = EACCES, change: Partial<HookEvent> = {}): HookEvent =>
  makeKprobe({ hook, args: [text(path)], returned: int(returned), ...change })

const VARIABLES: Readonly<Record<string, string>> = { host: '.+', path: '.+', process: '.+', __range: '1h' }

/** Numbers of refused accesses, by the panel *Refused* of the dashboard and by the query of the page. */
export function refusedQueries(service: string): string[] {
  const { panels }: { panels: Array<{ title: string }> } = JSON.parse(
    read('deploy/grafana/dashboards/file-access.json'),
  )
  const panel = panels.find(({ title }) => title === 'Refused')
  const [expr = ''] = JSON.stringify(panel ?? {}).match(/(?<="expr":)"(?:[^"\\]|\\.)*"/) ?? []
  const page = blocks(read('docs/how-to/query-loki.md'), 'logql').find((query) => query.includes('ktrail_file_denied'))
  assert.ok(expr !== '' && page !== undefined, 'expected a panel and a query for refused accesses, found none')
  const ofPanel = String(JSON.parse(expr)).replaceAll(/\$(\w+)/g, (_, name) => VARIABLES[name] ?? service)
  return [ofPanel, `sum(count_over_time(${page.trim().replaceAll('"ktrail"', JSON.stringify(service))} [1h]))`]
}
