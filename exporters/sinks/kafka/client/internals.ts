/** Parts inside kafkajs that we change or call: of one version, because no other keeps them as they are. */
import { createRequire } from 'node:module'

/** The latest release, of 2023. */
export const KNOWN_VERSION = '2.2.4'

const load = createRequire(import.meta.url)

/** The object, or the prototype of the class, that a module of kafkajs exports; `has` is one of its keys. */
export function insideOf<T extends object>(module: string, has: keyof T & string): T {
  const exported: unknown = load(`kafkajs/src/${module}`)
  const found: unknown = typeof exported === 'function' ? exported.prototype : exported
  if (isA<T>(found, has)) return found
  throw new Error(`kafkajs ${KNOWN_VERSION}: expected "${has}" in its ${module}, got none; reinstall the package`)
}

function isA<T extends object>(value: unknown, has: keyof T & string): value is T {
  return typeof value === 'object' && value !== null && has in value
}

/** Version of the kafkajs that would be loaded. */
export function installedVersion(): string {
  const described: unknown = load('kafkajs/package.json')
  const known = typeof described === 'object' && described !== null && 'version' in described
  return known ? String(described.version) : ''
}
