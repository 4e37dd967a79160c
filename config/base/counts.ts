/** Numbers of things in messages. */

/** `1,234,567`, of an integer. Not by toLocaleString: its first call takes 50 ms and 7 MB, for the data of ICU. */
export function counted(count: number): string {
  return String(count).replace(/\B(?=(?:\d{3})+$)/g, ',')
}

/** `1 event`, `2,000 events`, `2 policies`, `3 processes`. `word` is a noun in the singular, with words before it. */
export function plural(count: number, word: string): string {
  const many = word.replace(/([^aeiou])y$/, '$1ie').replace(/s$/, 'se')
  return `${counted(count)} ${count === 1 ? word : `${many}s`}`
}
