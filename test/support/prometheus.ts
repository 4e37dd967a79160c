/**
 * A strict reader of Prometheus' text format 0.0.4: throws for a text that a scraper would reject or misread.
 * Source: prometheus.io/docs/instrumenting/exposition_formats.
 */

export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface Family {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly samples: readonly Sample[]
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/
const VALUE = /^(?:[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|NaN|[+-]Inf)$/

/** All families of a page, in order. */
export function parsePrometheus(page: string): Family[] {
  if (!page.endsWith('\n')) throw new Error('the last line has no line feed')
  const families: Array<{ name: string; help: string; type: Family['type']; samples: Sample[] }> = []
  let help: { name: string; text: string } | undefined
  for (const line of page.slice(0, -1).split('\n')) {
    const family = families.at(-1)
    if (line === '') continue
    if (line.startsWith('# HELP ')) {
      const [name = '', ...words] = line.slice('# HELP '.length).split(' ')
      if (families.some((known) => known.name === name)) throw new Error(`a second HELP of ${name}`)
      help = { name, text: words.join(' ') }
    } else if (line.startsWith('# TYPE ')) {
      const [name = '', type] = line.slice('# TYPE '.length).split(' ')
      if (help?.name !== name) throw new Error(`a TYPE of ${name} that does not follow its HELP`)
      if (!NAME.test(name)) throw new Error(`not a metric's name: ${name}`)
      if (type !== 'counter' && type !== 'gauge' && type !== 'histogram') throw new Error(`type ${type} of ${name}`)
      families.push({ name, help: help.text, type, samples: [] })
      help = undefined
    } else {
      if (family === undefined || help !== undefined) throw new Error(`a sample before its TYPE: ${line}`)
      const sample = sampleOf(line)
      const suffixes = family.type === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']
      if (!suffixes.some((suffix) => sample.name === family.name + suffix)) {
        throw new Error(`${sample.name} among the samples of ${family.name}`)
      }
      family.samples.push(sample)
    }
  }
  for (const family of families) {
    const keys = family.samples.map(keyOf)
    const twice = keys.find((key, i) => keys.indexOf(key) !== i)
    if (twice !== undefined) throw new Error(`twice: ${twice}`)
    if (family.type === 'histogram') checkHistogram(family)
  }
  return families
}

function sampleOf(line: string): Sample {
  const [, name = '', inner = '', value = ''] = SAMPLE.exec(line) ?? []
  if (name === '' || !VALUE.test(value)) throw new Error(`not a sample: ${line}`)
  const labels: Record<string, string> = {}
  for (let rest = inner; rest !== '';) {
    const [whole, label, text] = LABEL.exec(rest) ?? []
    if (whole === undefined || label === undefined || text === undefined) throw new Error(`not labels: ${rest}`)
    if (Object.hasOwn(labels, label)) throw new Error(`label ${label} twice: ${line}`)
    labels[label] = text.replaceAll(/\\(.)/g, (_, char: string) => (char === 'n' ? '\n' : char))
    rest = rest.slice(whole.length)
  }
  return { name, labels, value: numberOf(value) }
}

function numberOf(text: string): number {
  return text.endsWith('Inf') ? (text.startsWith('-') ? -Infinity : Infinity) : Number(text)
}

function keyOf({ name, labels }: Sample): string {
  return `${name} ${JSON.stringify(Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1)))}`
}

/** Buckets grow with their bound, end in +Inf, and agree with the count. */
function checkHistogram({ name, samples }: Family): void {
  const series = Map.groupBy(samples, ({ labels }) => JSON.stringify({ ...labels, le: undefined }))
  for (const [key, own] of series) {
    const buckets = own.filter((sample) => sample.name === `${name}_bucket`)
    const count = own.find((sample) => sample.name === `${name}_count`)?.value
    if (count === undefined || !own.some((sample) => sample.name === `${name}_sum`)) {
      throw new Error(`${name} ${key} has no sum or no count`)
    }
    let bound = -Infinity
    let below = 0
    for (const { labels, value } of buckets) {
      const le = numberOf(labels['le'] ?? '')
      if (!(le > bound) || value < below) throw new Error(`${name} ${key}: bucket ${labels['le']} is out of order`)
      bound = le
      below = value
    }
    if (bound !== Infinity || below !== count) throw new Error(`${name} ${key}: the last bucket is not +Inf=${count}`)
  }
}
