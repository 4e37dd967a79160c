/** As the user writes it: `auto` colours a terminal unless NO_COLOR is set. */
export type ColorWhen = 'auto' | 'always' | 'never'

/** Whether to print ANSI colours. NO_COLOR counts when it is set and not empty (no-color.org). */
export function wantsColor(
  when: ColorWhen,
  isTerminal: boolean,
  env: Readonly<Record<string, string | undefined>>,
): boolean {
  switch (when) {
    case 'always':
      return true
    case 'never':
      return false
    case 'auto':
      return isTerminal && (env['NO_COLOR'] ?? '') === ''
  }
}
