/** The kernel's description of a tracepoint's event: the file `format` of tracefs. */

/** A field, in the order of policies: the four common fields first. */
export interface FormatField {
  readonly name: string
  /** C type: `int`, `const char *`, `char [16]`, `__data_loc char []`. */
  readonly type: string
  /** Offset from the start of the event. */
  readonly offset: number
  readonly bytes: number
  readonly signed: boolean
}

/** Where tracefs is mounted. */
export const TRACEFS: readonly string[] = ['/sys/kernel/tracing', '/sys/kernel/debug/tracing']

const FIELD = /^\tfield:([^;]+);\toffset:(\d+);\tsize:(\d+);\tsigned:([01]);/gm

export function parseFormat(text: string): readonly FormatField[] {
  return [...text.matchAll(FIELD)].flatMap(([, declaration = '', offset, bytes, signed]): FormatField[] => {
    // `char comm[16]`, or `__data_loc char[] comm`.
    const parts = /^(.*?)(\w+)(\[[^\]]*\])?$/.exec(declaration.trim())
    if (parts === null) return []
    const [, type = '', name = '', array] = parts
    const spaced = `${type} ${array ?? ''}`.replaceAll(/\s*([*[])/g, ' $1').replaceAll('* *', '**')
    return [
      {
        name,
        type: spaced.replaceAll(/\s+/g, ' ').trim(),
        offset: Number(offset),
        bytes: Number(bytes),
        signed: signed === '1',
      },
    ]
  })
}
