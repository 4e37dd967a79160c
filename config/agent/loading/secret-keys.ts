/** Values of a config that are never shown, whatever their origin. */

type Path = ReadonlyArray<PropertyKey>

export const REDACTED = '[redacted]'

const KEYS: readonly Path[] = [
  ['server', 'token'],
  ['server', 'metrics_token'],
  ['exporters', '*', 'headers'],
  ['exporters', '*', 'sasl', 'password'],
]
/** Keys below these are not ours: secrets are guessed from their names. */
const OTHERS: readonly Path[] = [
  ['exporters', '*', 'options'],
  ['exporters', '*', 'resource_attributes'],
]
const MAPPINGS: readonly Path[] = [...OTHERS, ['exporters', '*', 'sasl']]
const SECRET =
  /token|passw|passphrase|secret|auth|credential|cookie|headers|signature|(?:api|access|account|license|private|shared|signing)[-_. ]?key/i

const URLS: readonly Path[] = [['exporters', '*', 'endpoint'], ['exporters', '*', 'logs_endpoint'], ...OTHERS]

/** `host:port`; a user and password before it are removed. */
const BROKERS: readonly Path[] = [['exporters', '*', 'brokers']]
const BROKER_USER = /^.*@/s

const USER = /(:\/\/)[^\s/?#]*@/g
/** Query of a URL: each value, also one without a name. */
const QUERY = /\?\S*/g
const VALUE = /([?&])([^=&]*=)?[^&]*/g

export function mayBeSecret(path: Path): boolean {
  if (isBelow(path, KEYS)) return true
  return isBelow(path, OTHERS) && path.slice(3).some((key) => SECRET.test(String(key)))
}

/** The text at `path` without secrets: for URLs without user, password and query values. */
export function shownText(path: Path, text: string): string {
  const inPlaceOfMapping = path.length === 3 && isBelow(path, MAPPINGS)
  if (inPlaceOfMapping || mayBeSecret(path)) return REDACTED
  if (isBelow(path, BROKERS)) return text.replace(BROKER_USER, `${REDACTED}@`)
  if (!isBelow(path, URLS) || !text.includes('://')) return text
  return text
    .replace(USER, `$1${REDACTED}@`)
    .replace(QUERY, (query) => query.replace(VALUE, (_, mark: string, name = '') => `${mark}${name}${REDACTED}`))
}

function isBelow(path: Path, keys: readonly Path[]): boolean {
  return keys.some((key) => key.every((part, i) => part === '*' || part === path[i]))
}
