/**
 * Plain words, in comments and strings of code (an oxlint rule), in pages, data, C and shell (test/unit/words.test.ts).
 * Each rule shows what to write instead. Statements begin with their subject; a sentence has at most 25 words.
 */

interface Rule {
  readonly found: RegExp
  readonly write: string
}

/** Old names of this project, and habits. Words in names (`toldMs`, `books()`) count as well. */
export const OLD: readonly Rule[] = [
  { found: /\bbooks?\b|[a-z]Books\b/, write: 'accounting, counters' },
  { found: /\btroubles?\b(?! ?shoot)|[a-z]Trouble/i, write: 'failure' },
  { found: /\bmend(s|ed|ing)?\b/i, write: 'repair, correct' },
  { found: /\blanes?\b/i, write: 'partition batch' },
  { found: /(?<!\bin[ -])\bflights?\b/i, write: 'in-flight batch' },
  { found: /\b(bell|alarm)s?\b/i, write: 'signal, timer' },
  { found: /\bin force\b/i, write: 'effective, in effect' },
  { found: /\bunsure\b/i, write: 'unacknowledged' },
  { found: /\b(is|are|was|were) told\b/i, write: 'reported, logged' },
  { found: /\ba person must\b/i, write: 'needs manual action' },
  { found: /\b(somebody|whoever)\b/i, write: 'the user, the caller, another process' },
  { found: /\bstands? still\b|\bfor want of\b|\bgoes by way\b/i, write: 'plain words' },
  { found: /\bsaid\b/i, write: 'reported, logged, printed' },
  { found: /\btill\b/i, write: 'until' },
]

const MACHINES =
  'agent|broker|collector|event|exporter|file|hook|kafka|kernel|ktrail|loki|map|polic(?:y|ies)|program|record|ring|selector|sink|table|user space'
const CAN = 'are|can|cannot|could|did|do|does|had|has|have|is|may|might|must|was|were|will|would'

/** Rules about sentences. */
const SENTENCE: readonly Rule[] = [
  {
    // A clause as the subject, or the object before the verb. Questions may begin so.
    found: /^(?:What|Of|Who|Whose|Whoever|Which|None|Those|All that|Each that)\b(?![^.]*\?)/,
    write: 'the subject first: a thing with a name',
  },
  {
    found: new RegExp(`\\b(?:${MACHINES})s? (?:tells?|told|asks?|asked|says?|wants?|wanted|looks?)\\b`, 'i'),
    write: 'reports, requests, requires, checks: machines do not speak',
  },
  {
    found: new RegExp(
      `[,;:] for (?:it|they|this|that|there|these|no|nothing|the [\\w-]+|an? [\\w-]+|its [\\w-]+) (?:${CAN})\\b`,
      'i',
    ),
    write: 'because',
  },
  {
    found: /\b(?:that which|those who|that of what|all that which|what is (?:wanted|asked|meant|told|known|there))\b/i,
    write: 'a noun instead of the clause',
  },
  {
    found:
      /\b(?:an?|one|two|three) (?:third|quarter|fifth|sixth|seventh|eighth|ninth|tenth|twelfth|sixteenth)s? (?:less|more|fewer|slower|faster|cheaper)\b/i,
    write: 'percent',
  },
]

/** Rules about the start of a comment. In pages such a sentence has the one before it. */
const START: readonly Rule[] = [
  { found: /^The same\b/, write: 'the name of the other function or value, or what this one does' },
]

export const MOST_WORDS = 25

/** Sentences of running text. A colon or a semicolon ends one too; drawings, tables and empty lines separate them. A list of names is one word. */
export function sentences(text: string): string[] {
  return text
    .split(/\n\s*\n|^.*[─│▶└┌·→|].*$|^ {2}.*$|^\s*(?:[-*]|\d+\.) /m)
    .flatMap((block) =>
      block
        .replaceAll(/\s+/g, ' ')
        .replaceAll(/(?:\S+, ){6,}\S+/g, 'LIST')
        .split(/(?<=[.!?:;]\)?)\s/),
    )
    .map((each) => each.trim())
    .filter((each) => each.split(' ').length > 2)
}

export const wordsOf = (sentence: string): number =>
  sentence.split(' ').filter((word) => /[\p{L}\p{N}]/u.test(word)).length

/** Characters of a sentence that a message quotes. */
const SHOWN = 60

/** Violations of all rules about sentences in running text, each with the start of its sentence. */
export const problemsIn = (text: string): string[] =>
  sentences(text).flatMap((sentence) => {
    const words = wordsOf(sentence)
    const long = words > MOST_WORDS ? [`${words} words in one sentence, at most ${MOST_WORDS}`] : []
    return [...problemsOf(sentence), ...long].map((problem) => `${problem}: ${sentence.slice(0, SHOWN)}`)
  })

/** Violations of the rules about a sentence, but its length. */
export const problemsOf = (sentence: string): string[] => violations(sentence, SENTENCE)

/** Violations of the rules about the start of a comment. */
export const problemsAtStart = (comment: string): string[] => violations(comment.trim(), START)

function violations(text: string, rules: readonly Rule[]): string[] {
  return rules.flatMap(({ found, write }) => {
    const match = found.exec(text)
    return match === null ? [] : [`"${match[0]}": write ${write}`]
  })
}
