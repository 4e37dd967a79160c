import { hostname } from 'node:os'
import type { Config } from '../config/agent/schema.ts'

/** The name of this host in every record, and where it comes from: `config`, a variable, or `host name`. As Tetragon does. */
export function nodeNameOf(
  { node_name: own }: Pick<Config, 'node_name'>,
  env: Readonly<Record<string, string | undefined>>,
): { readonly value: string; readonly origin: string } {
  if (own !== '') return { value: own, origin: 'config' }
  for (const origin of ['HUBBLE_NODE_NAME', 'NODE_NAME']) {
    const value = env[origin] ?? ''
    if (value !== '') return { value, origin }
  }
  return { value: hostname(), origin: 'host name' }
}
