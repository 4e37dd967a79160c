/**
 * The floors of the house, for the lint rule `rooms`: each room may import the rooms of its row, which are all above it in this list, so no rooms are
 * in a circle. Types and `import()` count as well. In `bpf/`, an include counts (test/unit/lint/rooms.test.ts). The rows draw the picture in ARCHITECTURE.md (picture.ts).
 */
import path from 'node:path'

export interface Row {
  /** A folder with all below it, or a file, relative to the root. A file is in the room with the longest name that fits. */
  readonly room: string
  /** Rooms, and the index.ts of another top folder. */
  readonly imports: readonly string[]
  /** Imports of types only. */
  readonly types?: readonly string[]
}

const CONFIG = ['config/base', 'config/yaml', 'config/policy', 'config/agent'] as const
/** Imports of each room of `collector` from outside. */
const OTHERS = [...CONFIG, 'native/index.ts', 'exporters/index.ts'] as const
const THEIR_TYPES = ['native/types.ts', 'exporters/contract'] as const

const config = (name: string, imports: string): Row => ({ room: `config/${name}`, imports: within('config', imports) })
const exporters = (name: string, imports: string): Row => ({
  room: `exporters/${name}`,
  imports: [...CONFIG, ...within('exporters', imports)],
})
const bpf = (name: string, imports: string): Row => ({ room: `bpf/${name}`, imports: within('bpf', imports) })
const collector = (name: string, imports: string): Row => ({
  room: `collector/${name}`,
  imports: [...OTHERS, ...within('collector', imports)],
  types: THEIR_TYPES,
})

/** From the ground up. */
export const ROWS: readonly Row[] = [
  bpf('vmlinux', ''),
  bpf('event.h', 'vmlinux'),
  bpf('base', 'vmlinux event.h'),
  bpf('process', 'vmlinux event.h base'),
  bpf('frame', 'vmlinux event.h base process'),
  bpf('args', 'vmlinux event.h base frame'),
  bpf('match', 'vmlinux event.h base process frame args'),
  bpf('call', 'vmlinux event.h base process frame args match'),
  // The programs.
  { room: 'bpf', imports: within('bpf', 'vmlinux event.h base process frame args match call') },

  { room: 'native', imports: [] },

  config('base', ''),
  config('yaml', 'base'),
  config('policy', 'base yaml'),
  config('agent', 'base yaml policy'),

  { room: 'exporters/contract', imports: [] },
  exporters('runtime', 'contract'),
  exporters('filtering', 'contract'),
  exporters('encoding', 'contract runtime filtering'),
  exporters('buffer', 'contract runtime filtering encoding'),
  exporters('sending', 'contract runtime buffer'),
  exporters('sinks', 'contract runtime encoding'),
  exporters('dead-letter', 'contract sinks'),
  exporters('audit', 'contract encoding sinks'),
  exporters('testing', 'contract sending sinks'),
  {
    room: 'exporters',
    imports: [
      ...CONFIG,
      ...within('exporters', 'contract runtime filtering encoding buffer sending sinks dead-letter audit'),
    ],
  },

  { room: 'collector/errors.ts', imports: [] },
  { room: 'collector/wire', imports: [] },
  { room: 'collector/proto', imports: [] },
  collector('host', 'errors.ts'),
  collector('kubernetes', 'errors.ts'),
  collector('runtimes', 'proto host'),
  // Pure: it reads no file and needs no addon.
  {
    room: 'collector/plan',
    imports: [...CONFIG, ...within('collector', 'errors.ts wire host/turns.ts')],
    types: THEIR_TYPES,
  },
  collector('kernel', 'errors.ts wire host plan'),
  collector('process', 'wire host kernel'),
  collector('identity', 'wire host kubernetes kernel process'),
  collector('ingest', 'wire host plan kernel process identity'),
  collector('enrich', 'host kubernetes runtimes kernel process identity ingest'),
  collector('policies', 'errors.ts wire host kubernetes plan kernel ingest'),
  collector('delivery', ''),
  collector('guard', 'wire host plan kernel process ingest'),
  collector('reload', 'host policies delivery'),
  collector('api', 'errors.ts proto host plan kernel process identity ingest policies delivery'),
  collector('telemetry', 'host kubernetes plan kernel process ingest enrich policies delivery guard reload api'),
  {
    room: 'collector',
    imports: [
      ...OTHERS,
      ...within(
        'collector',
        'host kubernetes kernel identity ingest enrich policies delivery guard reload api telemetry',
      ),
    ],
    types: THEIR_TYPES,
  },
  collector('cli', 'errors.ts proto host plan kernel process delivery api agent.ts running.ts'),
  collector('main.ts', 'errors.ts cli'),
]

/** The one file of the collector that may import config, native and exporters together. */
const MEETING_POINT = 'collector/agent.ts'

/** The part of an ESTree node used here. */
interface ImportNode {
  readonly source?: { readonly value?: unknown } | null
  readonly importKind?: string
  readonly exportKind?: string
}

interface Context {
  readonly filename: string
  readonly cwd: string
  report(problem: { readonly node: object; readonly message: string }): void
}

export const rooms = {
  create(context: Context): Record<string, (node: ImportNode) => void> {
    const file = path.relative(context.cwd, context.filename).replaceAll(path.sep, '/')
    const row = rowOf(file)
    if (row === undefined) return {}
    const met = new Set<string>()
    const house = houseOf(file)
    const check = (node: ImportNode): void => {
      const specifier = node.source?.value
      if (typeof specifier !== 'string' || !specifier.startsWith('.')) return
      const target = path.posix.join(path.posix.dirname(file), specifier)
      const typeOnly = node.importKind === 'type' || node.exportKind === 'type'
      if (!allows(row, target, typeOnly)) {
        const what = `imports ${typeOnly ? 'the types of ' : ''}${target}`
        context.report({
          node,
          message: `${what}, which is not in the row of ${row.room} (test/support/lint/rooms.ts)`,
        })
      }
      const other = houseOf(target)
      if (other === house || typeOnly) return
      met.add(other)
      if (house === 'collector' && met.size === 3 && file !== MEETING_POINT) {
        context.report({ node, message: `sees config, native and exporters, but only ${MEETING_POINT} may` })
      }
    }
    return {
      ImportDeclaration: check,
      ExportNamedDeclaration: check,
      ExportAllDeclaration: check,
      ImportExpression: check,
      TSImportType: check,
    }
  },
}

/** The row of a file; undefined outside of the houses, where every import is allowed. */
export function rowOf(file: string): Row | undefined {
  return ROWS.filter(({ room }) => isIn(file, room)).toSorted((a, b) => b.room.length - a.room.length)[0]
}

const houseOf = (file: string): string => file.split('/', 1)[0] ?? ''

const isIn = (file: string, room: string): boolean => file === room || file.startsWith(`${room}/`)

/** Whether a file of this row may import `target`. */
export function allows({ room, imports, types = [] }: Row, target: string, typeOnly: boolean): boolean {
  const targetRoom = rowOf(target)?.room
  const below = [room, ...imports, ...(typeOnly ? types : [])]
  return below.some((allowed) => target === allowed || targetRoom === allowed)
}

/** `yaml base` of `config` → `config/yaml`, `config/base`. */
function within(house: string, names: string): string[] {
  return names.split(' ').flatMap((name) => (name === '' ? [] : [`${house}/${name}`]))
}
