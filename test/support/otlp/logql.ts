/** Evaluates the label matchers of LogQL queries on single records, as Loki would: without Loki, whose only source is an image registry. */
import { parser } from '@grafana/lezer-logql'
import type { AnyValue, LogsRequest } from './decode.ts'

type Labels = Readonly<Record<string, string>>

/** Stages that change no verdict on a record. */
const NEUTRAL = new Set(['LineFormatExpr'])

/** Whether the query's selector and label filters accept the record. Throws for stages that it cannot evaluate. */
export function accepts(query: string, labels: Labels): boolean {
  let accepted = true
  parser.parse(query).iterate({
    enter: ({ type, from, to, node }) => {
      if (type.isError) throw new Error(`no LogQL at ${from}: ${query}`)
      if (type.name === 'PipelineStage') {
        const stage = node.lastChild?.name ?? ''
        if (stage !== 'LabelFilter' && !NEUTRAL.has(stage)) throw new Error(`cannot evaluate ${query.slice(from, to)}`)
      }
      if (type.name !== 'Matcher') return
      const [, name = '', operator = '', value = ''] =
        /^\s*(\w+)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*")/.exec(query.slice(from, to)) ?? []
      accepted &&= matches(labels[name] ?? '', operator, String(JSON.parse(value)))
    },
  })
  return accepted
}

function matches(value: string, operator: string, wanted: string): boolean {
  const equal = operator.endsWith('~') ? new RegExp(`^(?:${wanted})$`).test(value) : value === wanted
  return operator.startsWith('!') ? !equal : equal
}

/** Labels of each record of a request, as Loki names them: resource and attributes. */
export function labelsOf({ resource, records }: LogsRequest): Labels[] {
  return records.map(({ attributes }) =>
    Object.fromEntries(
      [...resource, ...attributes].map(({ key, value }) => [key.replaceAll(/[^\w]/g, '_'), textOf(value)]),
    ),
  )
}

function textOf(value: AnyValue): string {
  const [text] = Object.values(value)
  return typeof text === 'object' ? JSON.stringify(text) : String(text ?? '')
}
