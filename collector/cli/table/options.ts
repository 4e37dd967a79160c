/** Options of commands, and those that several commands have. */

/** What a shell offers for a word. */
export type Offered = 'files' | 'exporters' | 'policies' | readonly string[]

/** An option; without `value` and `choices` it takes no value. */
export interface OptionSpec {
  readonly short?: string
  /** Placeholder of the value, such as `FILE`. */
  readonly value?: string
  /** All values that the option may have. */
  readonly choices?: readonly string[]
  readonly offered?: Offered
  /** What it does, without a capital and a period. Neighbours with the same text are shown as one. */
  readonly about: string
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>

export function takesValue({ value, choices }: OptionSpec): boolean {
  return value !== undefined || choices !== undefined
}

/** Of every command that reads the config. */
export const CONFIG_OPTION = {
  config: { value: 'FILE', offered: 'files', about: "instead of ktrail's own config/ktrail.yaml" },
} as const satisfies OptionSpecs

const CERTIFICATES = { value: 'FILE', offered: 'files', about: 'certificates, for an address host:port' } as const

/** Of every command that asks a running agent over its API. */
export const SERVER_OPTIONS = {
  server: { value: 'ADDRESS', about: 'default: unix:///run/ktrail/ktrail.sock' },
  'ca-file': CERTIFICATES,
  'cert-file': CERTIFICATES,
  'key-file': CERTIFICATES,
} as const satisfies OptionSpecs

/** Of every command that reads the agent's pages. */
export const PAGE_OPTIONS = {
  ...CONFIG_OPTION,
  http: { value: 'ADDRESS', about: 'another address than server.http of the config' },
  'token-file': { value: 'FILE', offered: 'files', about: 'a file with the token of server.token' },
} as const satisfies OptionSpecs
