/** The last line of a failed script's stderr, which is its error message. */
export function lastLineOf(error: unknown): string {
  const text = error instanceof Error && 'stderr' in error ? String(error.stderr) : String(error)
  return text.trim().split('\n').at(-1) || 'it failed without a message'
}
