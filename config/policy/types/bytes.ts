/** Arguments that are buffers: the sources of their number of bytes. */
import { asInteger } from '../fields.ts'
import type { Fields } from '../fields.ts'
import type { ArgumentType } from '../arguments.ts'
import type { ArgumentSpec, BytesSize } from '../policy.ts'

/** Tetragon's bound; only the first five are parameters. */
export const MAX_SIZE_INDEX = 5

/** `sizeArgIndex` and `returnCopy` of an argument; undefined if they have no effect, and after a problem. */
export function readSize(fields: Fields, type: ArgumentType | undefined): BytesSize | undefined {
  const sizeAt = fields.get('sizeArgIndex')
  const position = sizeAt === undefined ? 0 : asInteger(sizeAt, 0, MAX_SIZE_INDEX)
  const copies = fields.flag('returnCopy', false)
  if (type === undefined || position === undefined) return undefined
  if (type.kind !== 'bytes' || type.name === 'iov_iter') {
    if (copies && type.kind === 'bytes') {
      const sentence = 'the bytes of an iov_iter are read at the entry of the call; use char_buf or char_iovec'
      fields.refuse('returnCopy', sentence)
    }
    const useless = [
      ...(position === 0 ? [] : ['sizeArgIndex']),
      ...(copies && type.kind !== 'bytes' ? ['returnCopy'] : []),
    ]
    for (const key of useless) fields.warn(key, `has no effect on type ${type.name}; remove it`)
    return undefined
  }
  if (position === 0 && !(copies && type.name === 'char_buf')) {
    const what = type.name === 'char_buf' ? 'bytes in the buffer' : 'parts in the array'
    const or = type.name === 'char_buf' ? ', or returnCopy: true if the return value is that number' : ''
    const expected = `the position, from 1 on, of the parameter with the number of ${what}${or}`
    fields.problems.add(fields.at, `${fields.pathOf('sizeArgIndex')}: missing; expected ${expected}`)
    return undefined
  }
  const indexAt = fields.get('index')
  if (sizeAt !== undefined && indexAt?.node.kind === 'scalar' && indexAt.node.value === position - 1) {
    const sentence = `${position} is the buffer itself: positions count from 1 on, so the parameter after it is ${position + 1}`
    return sizeAt.refuse(sentence)
  }
  return { param: position === 0 ? undefined : position - 1, read: 'u64', returned: copies ? 's64' : undefined }
}

/** Whether bytes are read when the function returns. */
export const readsAtReturn = (args: ReadonlyArray<ArgumentSpec | undefined>): boolean =>
  args.some((arg) => arg?.size?.returned !== undefined)

/** The arguments without mistakes, with their sizes as the hook reads them: a parameter, or a return value, that is listed with a narrower type is no wider here. */
export function withSizes(
  args: ReadonlyArray<ArgumentSpec | undefined>,
  returnArg: ArgumentSpec | undefined,
): ArgumentSpec[] {
  const right = args.filter((arg) => arg !== undefined)
  return right.map((arg) => {
    const { size } = arg
    if (size === undefined) return arg
    const listed = right.find(({ index, resolve }) => index === size.param && resolve === undefined)
    const read = listed?.type.filter === 'number' && listed.type.pointed !== true ? listed.type.read : size.read
    return {
      ...arg,
      size: { ...size, read, returned: size.returned && (returnArg?.type.read ?? size.returned) },
    }
  })
}
