/** Files for other programs: one message with the page to read, instead of one for each key. */
import type { Problem } from './problems.ts'

/** The first match is the position. A file with `unless` has only some foreign keys, which have hints of their own. */
interface Foreign {
  readonly pattern: RegExp
  readonly unless?: RegExp
  readonly got: string
  readonly next: string
}

const NEW_CONFIG = 'write a config with ktrail init'

const FOREIGN: readonly Foreign[] = [
  {
    pattern: /^[ \t]*(?:- |[\w."'-]+: *)?\{\{/m,
    got: 'a template',
    next: 'replace its {{ ... }} first, such as with helm template (docs/start/kubernetes.md)',
  },
  {
    pattern: /^- (?:rule|macro|list|required_engine_version|required_plugin_versions):/m,
    got: "rules in Falco's language",
    next: 'write policies for the same calls (docs/how-to/coming-from/falco.md)',
  },
  {
    pattern: /^(?:rules_files?|falco|falcoctl|webserver|stdout_output|file_output):/m,
    unless: /^exporters:/m,
    got: 'a config of Falco',
    next: `${NEW_CONFIG} (docs/reference/configuration.md)`,
  },
  {
    pattern:
      /^(?:(?:export|enable|disable|k8s|health-server|event-queue|rb|process-cache|cri|pprof|cluster)-[a-z0-9-]+|tracing-policy(?:-dir)?|bpf-(?:lib|dir)|server-address|metrics-server|metrics-label-filter|field-filters|redaction-filters|data-cache-size|gops-address|username-metadata|tetragon|tetragonOperator):/m,
    unless: /^exporters:/m,
    got: 'a config of Tetragon',
    next: 'convert it with ktrail migrate tetragon (docs/how-to/coming-from/tetragon.md)',
  },
  {
    pattern: /^-(?:w \/|[aA] \w+,\w+ )/m,
    got: 'rules of auditd',
    next: 'convert them with ktrail migrate auditd (docs/how-to/coming-from/auditd.md)',
  },
  {
    pattern: /^ *<(?:ossec_config|agent_config|syscheck)>/m,
    got: 'a config of Wazuh',
    next: 'write a policy with the same folders (docs/how-to/coming-from/auditd.md)',
  },
  {
    pattern: /^kind: *["']?\w*List\b/m,
    got: 'a list of Kubernetes objects',
    next: 'write each policy to a file of its own (docs/how-to/policies/tetragon.md)',
  },
]

/** `result` of parsing `text`; if it has problems because the file is for another program, with one problem in their place. */
export function orForeign<R extends object>(
  result: R,
  text: string,
  file: string,
): R | { readonly problems: readonly Problem[] } {
  if (!('problems' in result)) return result
  for (const { pattern, unless, got, next } of FOREIGN) {
    const found = pattern.exec(text)
    if (found !== null && unless?.test(text) !== true) return one(text, file, found.index, got, next)
  }
  const [kind, policy] = [/^kind: *["']?(\w+)/m.exec(text), /^kind: *["']?TracingPolicy/m.exec(text)]
  if (kind === null || policy === null || !/^---/m.test(text.slice(kind.index, policy.index))) return result
  const next = 'move the policy to a file of its own (docs/how-to/policies/tetragon.md)'
  return one(text, file, kind.index, `a ${kind[1]} in front of a policy`, next)
}

function one(text: string, file: string, index: number, got: string, next: string): { problems: Problem[] } {
  const before = text.slice(0, index)
  const [line, col] = [before.split('\n').length, index - before.lastIndexOf('\n')]
  return { problems: [{ file, line, col, message: `expected a config or policy of ktrail, got ${got}: ${next}` }] }
}
