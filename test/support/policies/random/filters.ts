/** Values of random filters: those that calls of a world have, and those that nearly match. */
import type { Seeded } from '../../../simulation/spool/random.ts'
import type { FilterDocument } from '../documents.ts'
import { numberType, readAs } from '../operators.ts'
import type { NumberType } from '../operators.ts'
import { NUMBERS } from './alphabet.ts'
import { ADDRESSES, PORTS } from './sockets.ts'
import type { World } from './world.ts'

type Filter = Pick<FilterDocument, 'operator' | 'values' | 'sticky'>

const TEXT_OPERATORS: readonly string[] = ['Equal', 'In', 'NotEqual', 'NotIn', 'NotPrefix', 'NotPostfix']
const SUBSTRINGS: readonly string[] = ['SubString', 'SubStringIgnCase']
/** Operators that select few calls come more often than others. */
const NUMBER_OPERATORS: readonly string[] =
  'Equal Equal In In NotEqual NotIn GreaterThan GT GT LessThan LT LT Mask Mask Mask InMap InMap InRange InRange NotInMap NotInRange'.split(
    ' ',
  )
const FILE_TYPES: readonly string[] = 'reg regular dir lnk chr fifo pipe sock'.split(' ')
const SOCKET_OPERATORS: Readonly<Record<string, readonly string[]>> = {
  sockaddr: 'SAddr SAddr NotSAddr SPort SPort NotSPort SPortPriv NotSPortPriv Family'.split(' '),
  socket:
    'SAddr SAddr NotSAddr SPort SPort NotSPort SPortPriv NotSportPriv Family DAddr DAddr NotDAddr DPort NotDPort DPortPriv NotDPortPriv Protocol State'.split(
      ' ',
    ),
}
const SHORT: readonly string[] = [
  '/',
  '/x',
  '/a',
  'a',
  'd)',
  ' (deleted)',
  '/tmp/',
  '/tmp',
  '//',
  '/f',
  'passwd',
  '/passwd',
]

const TEXT_BYTES = 4095
const BUFFER_BYTES = 4094
const POSTFIX_BYTES = 127
const SUBSTRING_BYTES = 99
const SUBSTRINGS_MAX = 100
/** Bytes of all values of one policy. Filters beyond have one value, of few bytes. */
const POLICY_BYTES = 60_000
const VALUE_BYTES_BEYOND = 64
/** Ranges of a filter, in all its values. */
const RANGES_MAX = 1024

/** Well-formed texts of at most `bytes` bytes: the beginning of some bytes, or their end. */
function beginning(of: Buffer, bytes: number): string {
  return of
    .subarray(0, bytes)
    .toString()
    .replace(/\uFFFD.*$/s, '')
}
function end(of: Buffer, bytes: number): string {
  return of
    .subarray(Math.max(0, of.length - bytes))
    .toString()
    .replace(/^.*\uFFFD/s, '')
}

const spelledNumber = (number: bigint, random: Seeded): string => {
  const [sign, magnitude] = number < 0n ? ['-', -number] : ['', number]
  const spelled = [
    `${magnitude}`,
    `${magnitude}`,
    `0x${magnitude.toString(16)}`,
    `0o${magnitude.toString(8)}`,
    `0${magnitude.toString(8)}`,
    `0b${magnitude.toString(2)}`,
  ]
  return `${sign}${random.pick(spelled)}`
}

export class Filters {
  readonly #random: Seeded
  readonly #world: World
  readonly #texts: readonly string[]
  readonly #canTellFiles: boolean
  #bytes = 0

  /** `tellsFiles`: whether the kernel can distinguish files by identity. */
  constructor(random: Seeded, world: World, tellsFiles: boolean) {
    this.#random = random
    this.#world = world
    this.#texts = [...world.tree.files, ...world.tree.folders, ...world.tree.others, ...world.texts]
    this.#canTellFiles = tellsFiles
  }

  /** Resets the bound for the next policy. */
  newPolicy(): void {
    this.#bytes = 0
  }

  /** Any operator that the type of an argument has. */
  of(type: string): Filter {
    const random = this.#random
    const number = numberType(type)
    if (number !== undefined) return this.number(number)
    if (type === 'socket' || type === 'sockaddr') return this.#socket(type)
    const isText = type === 'string' || type === 'char_buf'
    if (!isText && random.chance(0.08)) return this.#fileType()
    if ((type === 'file' || type === 'path') && this.#canTellFiles && random.chance(0.1)) return this.#identity()
    return this.#text(type === 'char_buf')
  }

  #many(): number {
    const random = this.#random
    if (random.chance(0.85)) return 1 + random.int(3)
    return random.chance(0.9) ? 4 + random.int(10) : 60 + random.int(200)
  }

  number(type: NumberType, from: readonly bigint[] = NUMBERS): Filter {
    const random = this.#random
    const operator = random.pick(NUMBER_OPERATORS) ?? 'Equal'
    const ranges = /In(?:Map|Range)$/.test(operator)
    const count = ranges && random.chance(0.05) ? 500 + random.int(500) : this.#many()
    let left = RANGES_MAX
    const values: string[] = []
    while (values.length < count && this.#bytes < POLICY_BYTES && left > 0) {
      const value = this.#oneNumber(type, operator, from)
      const spelled = spelledNumber(value, random)
      const most = type.signed ? 2n ** BigInt(type.bits - 1) - 1n : 2n ** BigInt(type.bits) - 1n
      const wanted = BigInt(random.chance(0.5) ? random.int(4) : random.int(200))
      const to = value + wanted > most ? most : value + wanted
      const isRange = ranges && random.chance(0.5) && Number(to - value) < left
      left -= isRange ? Number(to - value) + 1 : 1
      values.push(isRange ? `${spelled}:${spelledNumber(to, random)}` : spelled)
      this.#bytes += values.at(-1)?.length ?? 0
    }
    return { operator, values: values.length === 0 ? ['1'] : values }
  }

  #oneNumber(type: NumberType, operator: string, from: readonly bigint[]): bigint {
    const random = this.#random
    const near = random.chance(0.7) ? 0n : BigInt(random.int(3) - 1)
    const number = readAs(type, (random.pick(from) ?? 0n) + near)
    return operator === 'Mask' && number === 0n ? 1n : number
  }

  #socket(type: string): Filter {
    const random = this.#random
    const operator = random.pick(SOCKET_OPERATORS[type] ?? []) ?? 'Family'
    const some = (of: readonly string[]): Filter => ({
      operator,
      values: Array.from({ length: 1 + random.int(3) }, () => random.pick(of) ?? ''),
    })
    const ports = PORTS.flatMap((port) => [`${port}`, `${port - 1}:${Math.min(65_535, port + random.int(9))}`])
    if (operator.endsWith('Addr')) return some(ADDRESSES)
    if (operator.endsWith('Priv')) return { operator }
    if (operator.endsWith('Port')) return some(ports)
    if (operator === 'Family') return some(['AF_INET', '10', 'AF_INET6', 'af_unix', 'AF_NETLINK'])
    if (operator === 'Protocol') return some(['IPPROTO_TCP', '17', 'IPPROTO_UDP', '0:6', 'IPPROTO_ICMP'])
    return some(['TCP_LISTEN', 'TCP_CLOSE', '1', '7', 'TCP_ESTABLISHED'])
  }

  #fileType(): Filter {
    const random = this.#random
    const operator = random.chance(0.5) ? 'FileType' : 'NotFileType'
    return { operator, values: Array.from({ length: 1 + random.int(3) }, () => random.pick(FILE_TYPES) ?? 'reg') }
  }

  #identity(): Filter {
    const random = this.#random
    const isUnder = random.chance(0.5)
    const { files, folders } = this.#world.hostPaths
    const some = isUnder ? folders : [...files, ...folders]
    const values = Array.from({ length: 1 + random.int(6) }, () => {
      const path = random.pick(some) ?? '/none'
      return random.chance(0.15) ? `${path}${random.pick(['-none', '/none', '/a'])}` : path
    })
    const known = values.filter(isText)
    const operator = isUnder ? 'UnderDir' : 'SameFile'
    const sticky = isUnder && random.chance(0.5)
    const texts = known.map((path) => Buffer.from(path, 'latin1').toString())
    return { operator, values: texts.length === 0 ? ['/none'] : texts, ...(sticky ? { sticky } : {}) }
  }

  /** `inBytes`: of a buffer. */
  #text(inBytes: boolean): Filter {
    const random = this.#random
    if (random.chance(0.08)) {
      const operator = random.pick(SUBSTRINGS) ?? 'SubString'
      return this.#withTexts(operator, Math.min(this.#many(), SUBSTRINGS_MAX), inBytes)
    }
    const usual = ['Prefix', 'Prefix', 'Postfix', 'Equal']
    return this.#withTexts(random.pick(random.chance(0.7) ? usual : TEXT_OPERATORS) ?? 'Equal', this.#many(), inBytes)
  }

  #withTexts(operator: string, count: number, inBytes: boolean): Filter {
    const values = [this.#value(operator, inBytes)]
    while (values.length < count && this.#bytes < POLICY_BYTES) values.push(this.#value(operator, inBytes))
    return { operator, values }
  }

  #value(operator: string, inBytes: boolean): string {
    const random = this.#random
    const isEnd = operator.endsWith('ostfix')
    const isPart = operator.startsWith('SubString')
    const longest = inBytes ? BUFFER_BYTES : TEXT_BYTES
    const most = isEnd ? POSTFIX_BYTES : isPart ? SUBSTRING_BYTES : longest
    const cut = isEnd ? end : beginning
    const whole = Buffer.from(random.pick(inBytes ? this.#world.contents : this.#texts) ?? '/', 'latin1')
    const some = random.chance(0.05)
      ? (random.pick(SHORT) ?? '/')
      : isPart
        ? this.#part(whole, operator)
        : // Equal too is tried with a beginning only, though less often.
          cut(
            whole,
            random.chance(/qual|In/.test(operator) ? 0.85 : 0.2) ? whole.length : 1 + this.#atSlash(whole, isEnd),
          )
    const changed = random.chance(0.35) ? this.#changed(some) : some
    const left = this.#bytes < POLICY_BYTES ? most : Math.min(most, VALUE_BYTES_BEYOND)
    const value = cut(Buffer.from(changed), left) || '/'
    this.#bytes += Buffer.byteLength(JSON.stringify(value))
    return value
  }

  /** Any part of `whole`. */
  #part(whole: Buffer, operator: string): string {
    const random = this.#random
    const part = end(whole.subarray(0, 1 + random.int(whole.length)), 1 + random.int(SUBSTRING_BYTES))
    return operator === 'SubStringIgnCase' ? part.replaceAll(/[a-z]/g, (letter) => letter.toUpperCase()) : part
  }

  /** A length that ends at a component, or just anywhere. */
  #atSlash(whole: Buffer, isEnd: boolean): number {
    const random = this.#random
    const anywhere = random.int(whole.length)
    if (random.chance(0.5)) return anywhere
    const slash = isEnd ? whole.indexOf('/', anywhere) : whole.lastIndexOf('/', anywhere)
    if (slash < 0) return anywhere
    const length = isEnd ? whole.length - slash : slash
    // With its slash or without.
    return Math.max(0, length - random.int(2))
  }

  #changed(text: string): string {
    const random = this.#random
    const at = random.int(text.length)
    const pad = TEXT_BYTES - Buffer.byteLength(text)
    const changes = [
      `${text}/`,
      `${text}x`,
      `${text} `,
      text.slice(0, -1),
      text.slice(1),
      `${text.slice(0, -1)}y`,
      `${text.slice(0, at)}y${text.slice(at + 1)}`,
      text.replace(/\/[^/]*$/, ''),
      text.replace('/', '//'),
      `${text} (deleted)`,
      `${text} (del`,
      text.replace(/ \(deleted\)$/, ''),
      pad > 0 ? text + 'y'.repeat(pad) : text,
      `/${text}`,
    ]
    const changed = random.pick(changes) ?? text
    return changed.isWellFormed() ? changed : text
  }
}

/** Whether bytes are UTF-8. */
const isText = (bytes: string): boolean => !Buffer.from(bytes, 'latin1').toString().includes('\uFFFD')
