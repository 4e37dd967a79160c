/** An entry point for bytes that others choose. */
export interface Target {
  readonly name: string
  /** Inputs are texts: the corpus shows them as such. */
  readonly text: boolean
  /** Valid inputs, made by the code's own writers where these exist; the corpus adds to them. */
  readonly seeds: () => Promise<readonly Buffer[]> | readonly Buffer[]
  /** Words of the format. */
  readonly words: readonly string[]
  /** Whether a script's coverage counts, by its path from the root. */
  readonly covers: RegExp
  /** Runs an input to its end. Throws if a promise is broken; a refusal of the input is none. */
  readonly run: (input: Buffer) => void | Promise<void>
}
