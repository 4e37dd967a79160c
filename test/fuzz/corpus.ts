/** The corpus of a target: inputs that each reach code of their own, and crashes of the past. Both are rows of a unit test. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Target } from './target.ts'

/** An input as text, one character a byte for a target of bytes. */
export interface Corpus {
  readonly inputs: readonly string[]
  readonly crashes: readonly { readonly input: string; readonly was: string }[]
}

const fileOf = ({ name }: Target): string => fileURLToPath(new URL(`corpus/${name}.json`, import.meta.url))

export const textOf = ({ text }: Target, input: Buffer): string => input.toString(text ? 'utf8' : 'latin1')
export const bytesOf = ({ text }: Target, input: string): Buffer => Buffer.from(input, text ? 'utf8' : 'latin1')

export function corpusOf(target: Target): Corpus {
  const file = fileOf(target)
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Corpus) : { inputs: [], crashes: [] }
}

export function writeCorpus(target: Target, corpus: Corpus): void {
  writeFileSync(fileOf(target), `${JSON.stringify(corpus, null, 1)}\n`)
}
