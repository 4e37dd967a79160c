/** Elements, texts and numbers for people. Texts of others only become text nodes, never HTML. */

/** Makes an element. `attributes` that are undefined are left out; `children` are nodes or texts. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined) element.setAttribute(key, value)
  element.append(...children.flat(Infinity).filter((child) => child !== undefined))
  return element
}

/** Replaces the children of `parent` that differ, so that a selection or the focus in the rest stays. */
export function update(parent, ...children) {
  const wanted = make('div', {}, ...children)
  patchChildren(parent, wanted)
}

function patchChildren(parent, wanted) {
  const next = [...wanted.childNodes]
  while (parent.childNodes.length > next.length) parent.lastChild.remove()
  next.forEach((child, i) => {
    const old = parent.childNodes[i]
    if (old === undefined) parent.append(child)
    else patch(old, child)
  })
}

function patch(old, wanted) {
  if (old.nodeName !== wanted.nodeName || old.nodeType !== Node.ELEMENT_NODE) {
    if (!old.isEqualNode(wanted)) old.replaceWith(wanted)
    return
  }
  const names = Array.from(old.attributes, ({ name }) => name)
  for (const name of names) if (!wanted.hasAttribute(name)) old.removeAttribute(name)
  for (const { name, value } of wanted.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value)
  patchChildren(old, wanted)
}

/** Control characters, characters that change the direction of text, and characters without width. */
const INVISIBLE = /[\p{Cc}\p{Cf}\u2028\u2029]/gu

function escapeOf(char) {
  return char.length === 1
    ? `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
    : `\\u{${char.codePointAt(0).toString(16)}}`
}

/** A text of others on one line: invisible characters are shown as escapes, and the rest after `most` characters is left out. */
export function visible(text, most = 400) {
  const whole = String(text)
  const cut = whole.length > most ? `${whole.slice(0, most).toWellFormed()}…` : whole
  return cut.replace(INVISIBLE, escapeOf)
}

/** JSON on several lines, without invisible characters; it stays JSON. */
export function visibleJson(value) {
  return JSON.stringify(value, undefined, 2).replace(/[^\n\P{C}]|[\u2028\u2029]/gu, (char) =>
    char.split('').map(escapeOf).join(''),
  )
}

/** A name for a narrow column: it may break after its signs, without a mark. */
export function breakable(text) {
  return visible(text)
    .split(/(?<=[_\-./:])/)
    .flatMap((part) => [part, make('wbr')])
}

const whole = new Intl.NumberFormat('en')
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })

export function count(n) {
  return whole.format(n)
}

/** A number for a tile. */
export function brief(n) {
  return n < 100_000 ? whole.format(n) : short.format(n)
}

/** Per second. */
export function rate(n) {
  if (n === undefined) return '–'
  if (n === 0) return '0/s'
  return n < 10 ? `${n.toFixed(1)}/s` : `${brief(Math.round(n))}/s`
}

export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = n
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

export function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`
  if (seconds < 120) return `${Math.round(seconds)} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`
}

export function clock(date) {
  return date.toLocaleTimeString('en-GB')
}
