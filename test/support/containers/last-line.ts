/** What a script that failed said last, which is a sentence. */
export function lastLineOf(error: unknown): string {
  const text = error instanceof Error && 'stderr' in error ? String(error.stderr) : String(error)
  return text.trim().split('\n').at(-1) || 'it failed without a word'
}
