import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { parseLabelSelector } from '../../../../../config/agent/filtering/label-selector.ts'
import { parseFieldPaths } from '../../../../../config/agent/filtering/record-fields.ts'
import { loadConfig } from '../../../../../config/agent/load.ts'

/** The problems of these keys in an otherwise valid exporter; each `line:col: message`. */
function problems(keys: string, type = 'type: stdout'): string[] {
  const loaded = loadConfig(`exporters:\n  a: { ${type}, ${keys} }\n`, 'c.yaml', {}, () => '')
  return 'problems' in loaded ? loaded.problems.map(({ line, col, message }) => `${line}:${col}: ${message}`) : []
}

const GOOD: readonly string[] = [
  'filter: {}',
  'filter: { policies: [a, "b-*"], event_types: [process_exec, events_lost], namespaces: ["", "x*"], pods: [p] }',
  'filter: { severity: ">= high", tags: [pci, "attack.*"] }',
  'filter: { severity: critical }',
  'filter: { severity: "<none" }',
  'filter: { binaries: [/bin/*], binary_regex: ["mysql$", "(?i)a"], arguments_regex: ["\\\\s-x"], sample: 0.25, health_checks: drop }',
  'filter: { allow: [{}, { event_set: [PROCESS_EXEC, PROCESS_LSM], pid: [1], in_init_tree: false, health_check: true }] }',
  'filter: { deny: [{ namespace: [""], namespace_regex: [a], pod_regex: [b], container_id: [c], container_name_regex: [d] }] }',
  'filter: { deny: [{ labels: ["a in (b, c),!d", ""], policy_names: [x], parent_binary_regex: [a], parent_arguments_regex: [b] }] }',
  'fields: [{ fields: "process.binary,parent.pod", action: EXCLUDE, event_set: [PROCESS_EXIT, RATE_LIMIT_INFO], invert_event_set: true }]',
  'redact: [{ redact: ["--password[= ](\\\\S+)"], binary_regex: ["x(?U)[[:alpha:]]"] }, { paths: ["(?P<user>a)"] }]',
  'rate_limit: { events: 10 }, filter: { sample: 1 }',
  'rate_limit: { events: 1000, per: 1m, burst: 5 }',
]

const BAD: ReadonlyArray<readonly [keys: string, at: string, message: RegExp]> = [
  ['filter: { policies: [] }', '2:42', /filter\.policies: expected at least one entry; remove the key/],
  ['filter: { policy: [a] }', '2:32', /filter\.policy: unknown key "policy"/],
  ['filter: { policies: a }', '2:42', /filter\.policies: expected a list, got "a"/],
  ['filter: { event_types: [PROCESS_EXEC] }', '2:46', /unknown value "PROCESS_EXEC" \(did you mean "process_exec"\?\)/],
  [
    'filter: { binary_regex: ["(a"] }',
    '2:47',
    /filter\.binary_regex\[0\]: expected a regular expression of RE2 \(missing closing \): `\(a`\), got "\(a"/,
  ],
  [
    'filter: { arguments_regex: ["(?=a)"] }',
    '2:50',
    /\(invalid or unsupported Perl syntax: `\(\?=`; RE2 has neither look-around nor back-references\), got "\(\?=a\)"/,
  ],
  [
    'filter: { sample: 0 }',
    '2:40',
    /filter\.sample: expected a fraction above 0 and at most 1, such as 0\.1, got the number 0/,
  ],
  ['filter: { severity: ">= hihg" }', '2:42', /filter\.severity: expected low, .* such as ">= high", got ">= hihg"$/],
  ['filter: { severity: High }', '2:42', /got "High"/],
  ['filter: { severity: error }', '2:42', /got "error"; write ">= high"$/],
  ['filter: { severity: [high, critical] }', '2:42', /filter\.severity: expected .*, got a list; write ">= high"$/],
  ['filter: { min_severity: high }', '2:32', /unknown key "min_severity" \(did you mean "severity"\?\)/],
  ['filter: { tags: severity.high }', '2:38', /filter\.tags: expected a list/],
  ['filter: { sample: 1.01 }', '2:40', /got the number 1\.01/],
  ['filter: { health_checks: true }', '2:47', /expected one of keep, drop/],
  ['filter: { allow: [{ pid_set: [1] }] }', '2:42', /allow\[0\]\.pid_set: known key "pid_set" is not built/],
  ['filter: { deny: [{ cel_expression: ["true"] }] }', '2:41', /known key "cel_expression" is not built/],
  ['filter: { deny: [{ capabilities: {} }] }', '2:41', /known key "capabilities" is not built/],
  ['filter: { allow: [{}, { ancestor_binary_regex: [a] }] }', '2:46', /allow\[1\]\.ancestor_binary_regex: known key/],
  ['filter: { allow: [{ binary_regx: [a] }] }', '2:42', /unknown key "binary_regx" \(did you mean "binary_regex"\?\)/],
  ['filter: { allow: [{ event_set: [process_exec] }] }', '2:54', /unknown value "process_exec" \(did/],
  [
    'filter: { deny: [{ event_set: [PROCESS_EXEC, RATE_LIMIT_INFO] }] }',
    '2:67',
    /event_set\[1\]: expected another type, because loss records pass every filter/,
  ],
  ['filter: { allow: [{ event_set: [RATE_LIMIT_INF] }] }', '2:54', /expected one of PROCESS_EXEC/],
  ['filter: { allow: [{ pid: [-1] }] }', '2:48', /pid\[0\]: expected at least 0/],
  [
    'filter: { allow: [{ labels: ["a b"] }] }',
    '2:51',
    /expected a label selector such as "app=web,tier in \(a, b\),!debug", got "a b"/,
  ],
  ['filter: { allow: [{ container_id: ["["] }] }', '2:57', /missing closing \]: `\[`/],
  ['fields: [{}]', '2:31', /fields\[0\]\.fields: missing/],
  [
    'fields: [{ fields: process.binry }]',
    '2:41',
    /unknown field "binry" in "process\.binry" \(did you mean "binary"\?\)/,
  ],
  [
    'fields: [{ fields: process, action: exclude }]',
    '2:58',
    /expected one of INCLUDE, EXCLUDE, got "exclude" \(did you mean "EXCLUDE"\?\)/,
  ],
  [
    'format: compact, fields: [{ fields: process }]',
    '2:47',
    /a\.fields: expected format: json with it, because compact lines have no fields/,
  ],
  ['redact: [{}]', '2:31', /redact\[0\]: expected the key redact or paths/],
  ['redact: [{ binary_regex: [a] }]', '2:31', /expected the key redact or paths/],
  [
    'redact: [{ redact: ["password=\\\\S+"] }]',
    '2:42',
    /expected a group around the text to replace, as in "password=\(\\S\+\)"/,
  ],
  ['redact: [{ paths: ["(?:a)"] }]', '2:41', /expected a group/],
  [
    'redact: [{ paths: ["(a)+"] }]',
    '2:41',
    /expected no group inside of a repetition, .* are replaced\), got "\(a\)\+"/,
  ],
  ['rate_limit: {}', '2:34', /rate_limit\.events: missing/],
  ['rate_limit: { events: 0 }', '2:44', /events: expected at least 1/],
  ['rate_limit: { events: 1, per: 0s }', '2:52', /per: expected a duration from 1ms/],
  ['rate_limit: { events: 1, burst: 0 }', '2:54', /burst: expected at least 1/],
]

describe('the filters of an exporter', () => {
  for (const keys of GOOD) it(`takes ${keys}`, () => assert.deepEqual(problems(keys), []))

  for (const [keys, at, message] of BAD) {
    it(`refuses ${keys}`, () => {
      const found = problems(keys)
      assert.equal(found.length, 1, found.join('\n'))
      assert.ok(found[0]?.startsWith(`${at}: exporters.a.`), found[0])
      assert.match(found[0] ?? '', message)
    })
  }

  it('are read as written, the rate with its period in milliseconds', () => {
    const file = join(import.meta.dirname, '../../../../fixtures/configs/good/filters.yaml')
    const loaded = loadConfig(readFileSync(file, 'utf8'), file, {}, () => '')
    assert.ok('config' in loaded, JSON.stringify(loaded))
    const { picky } = loaded.config.exporters
    assert.equal(picky?.filter?.deny?.[0]?.health_check, false)
    assert.equal(Object.keys(picky.filter.deny[0]).length, 15)
    assert.equal(Object.keys(picky.filter).length, 13)
    assert.deepEqual(picky.filter.arguments_regex, ['(?i)passwd$'])
    assert.deepEqual(picky.fields, [
      {
        event_set: ['PROCESS_EXEC'],
        invert_event_set: true,
        fields: 'parent.pod,process.inInitTree',
        action: 'EXCLUDE',
      },
    ])
    const [redact] = picky.redact ?? []
    assert.deepEqual(redact, {
      redact: ['--password[= ](\\S+)'],
      paths: ['/home/([^/]+)'],
      binary_regex: ['sql$'],
    })
    assert.deepEqual(picky.rate_limit, { events: 1000, per: 60_000, burst: 5000 })
  })

  it('fields that no record has are refused', () => {
    const fields = 'fields: [{ fields: process }]'
    const otlp = 'type: otlp, endpoint: "http://x"'
    assert.deepEqual(problems(`${fields}, body: json`, otlp), [])
    assert.deepEqual(problems(`${fields}, body: none`, otlp), [])
    assert.deepEqual(problems('body: text', otlp), [])
    assert.match(
      problems(`${fields}, body: text`, otlp).join(),
      /a\.fields: expected body: json or body: none with it, because a line of text has no fields/,
    )
  })

  it('are the same for a file', () => {
    assert.deepEqual(problems('filter: { policies: [a] }, fields: [{ fields: time }]', 'type: file, path: /x'), [])
  })
})

describe('label selectors', () => {
  const is = (key: string, operator: string, ...values: string[]): object => ({ key, operator, values })
  const rows: Readonly<Record<string, readonly object[] | undefined>> = {
    '': [],
    a: [is('a', 'exists')],
    ' ! a , b ': [is('a', 'absent'), is('b', 'exists')],
    'a=b,c==d,e!=f': [is('a', 'in', 'b'), is('c', 'in', 'd'), is('e', 'notin', 'f')],
    'a=': [is('a', 'in', '')],
    'in in (in)': [is('in', 'in', 'in')],
    'x.y/a-b notin (c, ,d),z': [is('x.y/a-b', 'notin', 'c', '', 'd'), is('z', 'exists')],
    'a>1,b < -2': [is('a', 'above', '1'), is('b', 'below', '-2')],
    ',a': undefined,
    'a,': undefined,
    'a b': undefined,
    'a in b': undefined,
    'a in (b': undefined,
    'a in (b c)': undefined,
    'a=b=c': undefined,
    'a>x': undefined,
    '-a': undefined,
    'x/y/z': undefined,
    '=b': undefined,
  }
  for (const [text, want] of Object.entries(rows)) {
    it(`${JSON.stringify(text)} is ${want === undefined ? 'invalid' : 'valid'}`, () =>
      assert.deepEqual(parseLabelSelector(text), want))
  }
})

describe('fields of a record', () => {
  it('are read in both cases, as records have them', () => {
    assert.deepEqual(
      parseFieldPaths(
        'process.exec_id, parent.execId,args.errorArg.Message,return.file_arg.path,process.pod.podLabels',
      ),
      [
        ['process', 'exec_id'],
        ['parent', 'exec_id'],
        ['args', 'error_arg', 'Message'],
        ['return', 'file_arg', 'path'],
        ['process', 'pod', 'pod_labels'],
      ],
    )
  })

  it('are refused if unknown', () => {
    for (const text of [
      '',
      ',',
      'process.',
      '.process',
      'process..pid',
      'proces',
      'process.pod.nam',
      'process.execid',
      'constructor',
    ]) {
      assert.equal(typeof parseFieldPaths(text), 'string', text)
    }
  })

  it('may continue below a field whose contents are not listed', () => {
    assert.deepEqual(parseFieldPaths('process.ns.pidForChildren.is_host'), [
      ['process', 'ns', 'pid_for_children', 'is_host'],
    ])
  })
})
