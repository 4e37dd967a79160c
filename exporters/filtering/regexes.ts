import { parseRegex } from '../../config/base/regex.ts'
import { ExportError } from '../contract/errors.ts'

/** Tests texts by regular expressions, of which one must match somewhere. Throws ExportError UNUSABLE. */
export function regexMatcher(patterns: readonly string[]): (text: string) => boolean {
  const regexes = patterns.map((pattern) => {
    const regex = parseRegex(pattern)
    if (typeof regex === 'string') throw new ExportError('UNUSABLE', `${regex}, got "${pattern}"`)
    return regex
  })
  return (text) => regexes.some((regex) => regex.test(text))
}
