/** The lint rule `prose`: comments and strings of TypeScript and JavaScript keep to the rules of prose.ts. */
import { problemsAtStart, problemsIn, wordsOf } from './prose.ts'

interface Place {
  readonly range: readonly [number, number]
  readonly loc: { readonly start: { readonly line: number } }
}

interface Comment extends Place {
  readonly type: 'Line' | 'Block'
  readonly value: string
}

interface Context {
  readonly sourceCode: { getAllComments(): readonly Comment[]; getText(): string }
  report(found: { node: object; message: string }): void
}

interface StringNode {
  readonly value?: unknown
  readonly quasis?: ReadonlyArray<{ readonly value: { readonly cooked: string | null } }>
}

/** A string with fewer words is a name or a part of a sentence; one of many lines is a program or its output. */
const LEAST_WORDS = 4

export const prose = {
  create(context: Context): Record<string, (node: StringNode & Place) => void> {
    const report = (node: object, text: string): void => {
      for (const problem of problemsIn(text)) context.report({ node, message: problem })
    }
    const string = (node: StringNode & Place): void => {
      const text =
        typeof node.value === 'string' ? node.value : (node.quasis ?? []).map(({ value }) => value.cooked).join('X')
      if (wordsOf(text) >= LEAST_WORDS && !text.includes('\n')) report(node, text)
    }
    return {
      Program() {
        for (const { node, text } of blocks(context.sourceCode.getAllComments(), context.sourceCode.getText())) {
          for (const problem of problemsAtStart(text)) context.report({ node, message: problem })
          report(node, text)
        }
      },
      Literal: string,
      TemplateLiteral: string,
    }
  },
}

/** Comments as running text. Line comments that follow each other are one. */
function blocks(comments: readonly Comment[], code: string): { node: Comment; text: string }[] {
  const found: { node: Comment; text: string; end: number }[] = []
  for (const comment of comments) {
    const text = comment.value.replaceAll(/^\s*\*+ ?/gm, '').trim()
    const before = found.at(-1)
    const follows = before?.node.type === 'Line' && code.slice(before.end, comment.range[0]).trim() === ''
    if (before !== undefined && comment.type === 'Line' && follows) {
      before.text += `\n${text}`
      before.end = comment.range[1]
    } else found.push({ node: comment, text, end: comment.range[1] })
  }
  return found
}
