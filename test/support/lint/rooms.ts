/**
 * Who may import whom. Each folder below may import itself and the folders of its row; the rows have no cycle, so neither
 * have the folders. `import()` and types count as well.
 */
import path from 'node:path'

interface Row {
  /** The folder, relative to the root; the first that fits a file is its row. */
  readonly folder: string
  /** Folders and files. */
  readonly imports: readonly string[]
  /** Also these, but only their types. */
  readonly types?: readonly string[]
}

export const ROWS: readonly Row[] = [
  { folder: 'config/own.ts', imports: [] },
  { folder: 'config/yaml', imports: ['config/own.ts'] },
  { folder: 'config/policy', imports: ['config/yaml', 'config/agent/filtering/regex.ts'] },
  { folder: 'config', imports: [] },
  { folder: 'native', imports: [] },
  { folder: 'exporters/contract', imports: [] },
  { folder: 'exporters/runtime', imports: ['config', 'exporters/contract'] },
  {
    folder: 'exporters/buffer',
    imports: ['config', 'exporters/contract', 'exporters/runtime', 'exporters/encoding', 'exporters/filtering'],
  },
  { folder: 'exporters/sending', imports: ['config', 'exporters/contract', 'exporters/runtime', 'exporters/buffer'] },
  { folder: 'exporters', imports: ['config'] },
  {
    folder: 'collector',
    imports: ['config', 'native/index.ts', 'exporters/index.ts'],
    types: ['native/types.ts', 'exporters/contract'],
  },
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
    const check = (node: ImportNode): void => {
      const specifier = node.source?.value
      if (typeof specifier !== 'string' || !specifier.startsWith('.')) return
      const target = path.posix.join(path.posix.dirname(file), specifier)
      const typeOnly = node.importKind === 'type' || node.exportKind === 'type'
      const why = refusal(row, target, typeOnly)
      if (why !== undefined)
        context.report({ node, message: `imports ${typeOnly ? 'the types of ' : ''}${target}, but ${why}` })
      const room = target.split('/', 1)[0] ?? ''
      if (room === row.folder || typeOnly) return
      met.add(room)
      if (row.folder === 'collector' && met.size === 3 && file !== MEETING_POINT) {
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

function rowOf(file: string): Row | undefined {
  return ROWS.find(({ folder }) => file.startsWith(`${folder}/`))
}

/** Why a file of this row may not import `target`; undefined if it may. */
function refusal(row: Row, target: string, typeOnly: boolean): string | undefined {
  const { folder, imports, types = [] } = row
  const fits = (allowed: string): boolean => target === allowed || target.startsWith(`${allowed}/`)
  if ([folder, ...imports].some(fits) || (typeOnly && types.some(fits))) return undefined
  const also = types.length === 0 ? '' : `, and types of ${types.join(' and ')}`
  return `${folder} may import ${imports.length === 0 ? 'nothing else of ours' : imports.join(', ')}${also}`
}
