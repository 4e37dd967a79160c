/** The environment of a process, as bytes of the kernel or of /proc. Pure functions. */
import { decodeText } from '../../wire/text.ts'

/** Tetragon's name of a text without `=`. */
const NO_NAME = 'invalid'
/** Limit of all variables as JSON. */
const VARIABLES_BYTES = 48 << 10
/** `{"Key":"","Value":""},` */
const VARIABLE_BYTES = 23

export interface Environment {
  readonly variables: ReadonlyArray<readonly [name: string, value: string]>
  /** Some variables are missing, because `bytes` are cut, or because all together are too long. */
  readonly cut: boolean
}

/** `isWhole`: else the last variable may be cut, and is left out. `names`: undefined for all. */
export function readEnvironment(bytes: Buffer, isWhole: boolean, names: ReadonlySet<string> | undefined): Environment {
  const variables: Array<readonly [string, string]> = []
  let left = VARIABLES_BYTES
  for (let at = 0; at < bytes.length;) {
    const nul = bytes.indexOf(0, at)
    if (nul === -1 && !isWhole) break
    const end = nul === -1 ? bytes.length : nul
    const [name, value] = variable(decodeText(bytes, at, end).text)
    at = end + 1
    if (names?.has(name) === false) continue
    left -= VARIABLE_BYTES + jsonBytes(name) + jsonBytes(value)
    if (left < 0) return { variables, cut: true }
    variables.push([name, value])
  }
  return { variables, cut: !isWhole }
}

function variable(text: string): readonly [name: string, value: string] {
  const equals = text.indexOf('=')
  return equals === -1 ? [NO_NAME, text] : [text.slice(0, equals), text.slice(equals + 1)]
}

/** The beginning of a text that takes at most `bytes` in JSON; never half of a surrogate pair. */
export function jsonStart(text: string, bytes: number): string {
  if (text.length * MOST_OF_UNIT <= bytes) return text
  let left = bytes
  for (let i = 0; i < text.length; i++) {
    left -= unitBytes(text.charCodeAt(i))
    if (left < 0) return text.slice(0, i).toWellFormed()
  }
  return text
}

function jsonBytes(text: string): number {
  let bytes = 0
  for (let i = 0; i < text.length; i++) bytes += unitBytes(text.charCodeAt(i))
  return bytes
}

const MOST_OF_UNIT = 6

/** Bytes of a code unit of a well-formed text: a surrogate is half of four bytes. */
function unitBytes(code: number): number {
  if (code < 0x20) return MOST_OF_UNIT
  if (code === 0x22 || code === 0x5c) return 2
  return code < 0x80 ? 1 : code < 0x800 || (code >= 0xd800 && code < 0xe000) ? 2 : 3
}
