/** Effects of the keys of `ktrail top`. */
import { SORTS } from './view.ts'
import type { Choice } from './view.ts'

const ESCAPE = '\x1b'
const CTRL_C = '\x03'
const MAX_FILTER = 64

/** `text`: the input from the terminal, one key or a pasted text. */
export function afterKey(choice: Choice, text: string): Choice | 'quit' {
  // Arrows and function keys.
  if (text.startsWith(ESCAPE) && text.length > 1) return choice
  let now = choice
  for (const key of text) {
    const next = now.typing ? typed(now, key) : pressed(now, key)
    if (next === 'quit') return next
    now = next
  }
  return now
}

function pressed(choice: Choice, key: string): Choice | 'quit' {
  switch (key) {
    case 'q':
    case CTRL_C:
      return 'quit'
    case 'p':
    case ' ':
      return { ...choice, paused: !choice.paused }
    case 's':
      return { ...choice, sort: SORTS[(SORTS.indexOf(choice.sort) + 1) % SORTS.length] ?? 'rate' }
    case '/':
      return { ...choice, typing: true }
    case ESCAPE:
      return { ...choice, filter: '' }
    default:
      return choice
  }
}

function typed(choice: Choice, key: string): Choice | 'quit' {
  if (key === CTRL_C) return 'quit'
  if (key === '\r' || key === '\n') return { ...choice, typing: false }
  if (key === ESCAPE) return { ...choice, typing: false, filter: '' }
  if (key === '\x7f' || key === '\b') return { ...choice, filter: [...choice.filter].slice(0, -1).join('') }
  return key < ' ' || choice.filter.length >= MAX_FILTER ? choice : { ...choice, filter: choice.filter + key }
}
