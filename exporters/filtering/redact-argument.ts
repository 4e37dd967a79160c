import type { Argument, MemberValue } from '../contract/event.ts'

/**
 * The argument with its texts redacted by `show`; the same object if nothing changes. A redacted text also loses its exact
 * bytes (`raw`).
 */
export function redactArgument<Rules>(
  argument: Argument,
  show: (text: string, rules: Rules) => string,
  rules: Rules,
): Argument {
  switch (argument.kind) {
    case 'file': {
      const path = show(argument.path, rules)
      const named = argument.details?.named
      const shown = named === undefined ? named : show(named, rules)
      if (path === argument.path && shown === named) return argument
      const { raw, details } = argument
      return {
        ...argument,
        path,
        raw: path === argument.path ? raw : undefined,
        details: details && { ...details, named: shown },
      }
    }
    case 'string': {
      const value = show(argument.value, rules)
      return value === argument.value ? argument : { ...argument, value, raw: undefined }
    }
    case 'bytes': {
      const text = bytesText(argument.value)
      const shown = show(text, rules)
      return shown === text ? argument : { ...argument, value: Buffer.from(shown) }
    }
    case 'struct': {
      const text = show(argument.text, rules)
      const members = argument.members.map(
        ([key, value]) => [key, redactMember(value, (each) => show(each, rules))] as const,
      )
      const changes = text !== argument.text || members.some(([, value], i) => value !== argument.members[i]?.[1])
      return changes ? { ...argument, text, members } : argument
    }
    case 'error':
    case 'number':
    case 'wide':
      return argument
  }
}

function redactMember(value: MemberValue, show: (text: string) => string): MemberValue {
  if (typeof value === 'string') return show(value)
  if (!(value instanceof Map)) return value
  const inner = [...value].map(([key, each]) => [key, redactMember(each, show)] as const)
  return inner.some(([key, each]) => each !== value.get(key)) ? new Map(inner) : value
}

/** Bytes as a text; each part that is not UTF-8 becomes U+FFFD. */
export const bytesText = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
