/** Lines as a terminal shows them: runs of coloured text, cut at its width. */

/** A run of text in one colour: an ANSI foreground colour as `c34`, '' for the terminal's own. */
export interface Run {
  readonly text: string
  readonly color: string
}

/** `\x1b[34mtext\x1b[0m` and the text between. */
export function runs(line: string): Run[] {
  // eslint-disable-next-line no-control-regex
  return [...line.matchAll(/\x1b\[(\d+)m(.*?)\x1b\[0m|([^\x1b]+)/g)]
    .map(([, color = '', colored, plain = '']) => ({
      text: colored ?? plain,
      color: colored === undefined ? '' : `c${color}`,
    }))
    .filter(({ text }) => text !== '')
}

/** The line as far as it fits, with … at its end if it does not. */
export function cut(line: readonly Run[], columns: number): Run[] {
  if (line.reduce((sum, { text }) => sum + width(text), 0) <= columns) return [...line]
  let room = columns - 1
  const kept: Run[] = []
  for (const { text, color } of line) {
    const fits = [...text].slice(0, room).join('')
    room -= width(fits)
    kept.push({ text: room > 0 ? fits : `${fits}…`, color })
    if (room <= 0) break
  }
  return kept
}

/** Runs as ANSI text. */
export function ansi(line: readonly Run[]): string {
  return line.map(({ text, color }) => (color === '' ? text : `\x1b[${color.slice(1)}m${text}\x1b[0m`)).join('')
}

/** Columns in a terminal: an emoji takes two. */
export function width(text: string): number {
  return [...text].reduce((sum, char) => sum + (/\p{Emoji_Presentation}/u.test(char) ? 2 : 1), 0)
}
