/** The man page ktrail(1), from the table of commands. */
import { allSpecs, isGroup } from '../../../collector/cli/table/spec.ts'
import type { CommandSpec, GroupSpec } from '../../../collector/cli/table/spec.ts'
import { optionRows } from '../../../collector/cli/help/text.ts'

const DESCRIPTION = [
  'The agent ktrail runs tracing policies, which have the format of Tetragon. The kernel filters the calls. Matching events go to files, Grafana Loki, OpenTelemetry and Kafka: each event is delivered or counted.',
  'ktrail run is the agent. The other commands check and write configs and policies, show the state of a running agent, and read events, spools and sinks.',
  'Commands look for the config in this order: --config, the variable KTRAIL_CONFIG, the file of the running agent (not for run), /etc/ktrail/ktrail.yaml, the config that comes with ktrail.',
]

/** The page in roff (man(7)). */
export function manPage(root: GroupSpec): string {
  const commands = [...allSpecs(root)].filter((row): row is [string, CommandSpec] => !isGroup(row[1]))
  return [
    `.\\" Made by test/support/docs/write-man.ts from collector/cli/table/.`,
    '.TH KTRAIL 1 "" ktrail "User Commands"',
    ...section('NAME'),
    roff(`ktrail - ${root.summary}`),
    ...section('SYNOPSIS'),
    '.B ktrail',
    roff('COMMAND [OPTIONS]'),
    ...section('DESCRIPTION'),
    ...paragraphs(DESCRIPTION),
    ...section('COMMANDS'),
    ...commands.flatMap(([path, spec]) => commandLines(path, spec)),
    ...section('EXIT STATUS'),
    roff(sentence(root.exits ?? '')),
    ...section('SEE ALSO'),
    roff('bpftool(8), docs/reference/running.md'),
    '',
  ].join('\n')
}

function commandLines(
  path: string,
  { usage = [''], text, options = {}, notes = [], exits, examples = [] }: CommandSpec,
) {
  return [
    `.SS "${roff(path)}"`,
    ...usage.flatMap((args, i) => [
      ...(i === 0 ? [] : ['.br']),
      `.B ${roff(path)}`,
      ...(args === '' ? [] : [roff(args)]),
    ]),
    ...paragraphs(text),
    ...optionRows(options).flatMap(([label, about]) => ['.TP', `.B ${roff(label.trim())}`, roff(sentence(about))]),
    ...paragraphs(notes),
    ...(exits === undefined ? [] : paragraphs([`Exit codes: ${exits}.`])),
    ...(examples.length === 0 ? [] : ['.PP', 'Examples:', ...verbatim(examples.map((line) => `  ${line}`).join('\n'))]),
  ]
}

function section(title: string): string[] {
  return [`.SH ${title.includes(' ') ? `"${title}"` : title}`]
}

function paragraphs(texts: readonly string[]): string[] {
  return texts.flatMap((text) => (text.startsWith(' ') ? verbatim(text) : ['.PP', roff(text)]))
}

function verbatim(text: string): string[] {
  return ['.PP', '.nf', ...text.split('\n').map(roff), '.fi']
}

function sentence(about: string): string {
  return /[.?!]$/.test(about) ? about : `${about}.`
}

/** Text that roff prints as it is. */
function roff(text: string): string {
  const escaped = text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll('"', '\\(dq').replaceAll("'", '\\(aq')
  return escaped.replace(/^\./, '\\&.')
}
