/** Options of commands, and the options that several commands share. */
import shared from './options.json' with { type: 'json' }

/** Words that a shell offers. */
export type Offered = 'files' | 'exporters' | 'policies' | readonly string[]

/** An option; without `value` and `choices` it takes no value. */
export interface OptionSpec {
  readonly short?: string
  /** Placeholder of the value, such as `FILE`. */
  readonly value?: string
  /** All values that the option may have. */
  readonly choices?: readonly string[]
  readonly offered?: Offered
  /** The effect, without a capital and a period. Neighbours with the same text are shown as one. */
  readonly about: string
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>

export function takesValue({ value, choices }: OptionSpec): boolean {
  return value !== undefined || choices !== undefined
}

/** Options that several commands share, by name. */
export const SHARED_OPTIONS = shared as OptionSpecs
