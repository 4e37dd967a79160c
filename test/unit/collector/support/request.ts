/** A request as a page gets it. */
import type { Head } from '../../../../collector/telemetry/http-head.ts'

/** `target`: path and query. */
export function requestOf(
  target: string,
  {
    method = 'GET',
    fields = {},
  }: { readonly method?: string; readonly fields?: Readonly<Record<string, string>> } = {},
): Head {
  const [path = '', query = ''] = target.split('?')
  return { method, path, query, fields: new Map(Object.entries(fields)) }
}
