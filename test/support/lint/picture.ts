/**
 * The picture of the rooms in ARCHITECTURE.md, from the rows of rooms.ts: `node test/support/lint/picture.ts` rewrites it. A room stands one
 * floor above the highest room of its house that it imports.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { ROWS } from './rooms.ts'

export const FILE: string = fileURLToPath(new URL('../../../ARCHITECTURE.md', import.meta.url))
const BEGIN = '<!-- rooms: made by test/support/lint/picture.ts -->\n'
const END = '<!-- end of rooms -->'
const HOUSES = ['collector', 'exporters', 'config', 'native', 'bpf'] as const

/** The page with the present picture. Throws Error for a page without a place for it. */
export function withPicture(page: string): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)]
  if (begin < 0 || end < begin)
    throw new Error(`ARCHITECTURE.md: expected a line "${BEGIN.trim()}", and "${END}" below`)
  return `${page.slice(0, begin)}${BEGIN}\n\`\`\`\n${picture()}\`\`\`\n\n${page.slice(end)}`
}

function picture(): string {
  return HOUSES.map((house) => `${house}/\n${floorsOf(house)}`).join('')
}

/** The floors of a house, the highest first, as lines of room names. */
function floorsOf(house: string): string {
  const heights = new Map<string, number>()
  for (const { room, imports } of ROWS) {
    if (room !== house && !room.startsWith(`${house}/`)) continue
    heights.set(room, 1 + Math.max(0, ...imports.map((below) => heights.get(below) ?? 0)))
  }
  const top = Math.max(...heights.values())
  let lines = ''
  for (let height = top; height > 0; height--) {
    const names = [...heights].filter(([, of]) => of === height).map(([room]) => nameOf(room, house))
    lines += `  ${String(height).padStart(2)}  ${names.join('   ')}\n`
  }
  return lines
}

/** The room of the files beside the folders is named after the files that other rooms import. */
function nameOf(room: string, house: string): string {
  if (room !== house) return room.slice(house.length + 1)
  return { collector: 'agent.ts line.ts running.ts', exporters: 'index.ts', bpf: '*.bpf.c' }[house] ?? '*.ts'
}

if (import.meta.main) writeFileSync(FILE, withPicture(readFileSync(FILE, 'utf8')))
