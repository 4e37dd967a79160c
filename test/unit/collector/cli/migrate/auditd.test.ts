/** `ktrail migrate auditd`: the policies of rules, which ktrail's own parser reads, and the rules that it names. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { parsePolicy } from '../../../../../config/policy/parse.ts'
import type { Policy } from '../../../../../config/policy/policy.ts'
import { Folder } from '../../../exporters/support/folder.ts'
import { typed } from '../support/terminal.ts'

const RULES = `## First rule - delete all
-D
-b 8192
--backlog_wait_time 60000

-w /etc/passwd -p wa -k identity
-w /etc/group -p wa -k identity
-w /etc/sudoers.d/ -p wa -k scope
-a always,exit -F arch=b64 -F path=/etc/shadow -F perm=aw -F key=identity
-a always,exit -F arch=b32 -F path=/etc/shadow -F perm=wa -F key=identity
-a exit,always -F dir=/usr/sbin -F perm=x -F auid>=1000 -F auid!=unset -k Admin_Tools
-w /var/log/audit
-w /srv/data -pr -kdata
-a always,exit -F path=/srv/data -F perm=r -F exe=/usr/bin/cat -k data
-w /etc/hosts -p a -k attributes
-w /etc/resolv.conf -p w -k "contents"
-a always,exit -F arch=b64 -S unlink,rename -F auid>=1000 -k delete
-a always,exit -F arch=b64 -S openat -F path=/etc/x -F perm=r -k x
-a never,exit -F path=/etc/noise
-a always,exclude -F msgtype=CWD
-a always,exit -F path=/etc/x -F perm=r -F uid=0
-a always,exit -F dir!=/etc -F perm=r
-a always,exit -F path=/a -F path=/b
-w etc/passwd -p wa
-w /etc/passwd -p q
-w /etc/../passwd -p wa -k dots
-e 2
`

const NOT: ReadonlyArray<readonly [line: number, reason: RegExp]> = [
  [2, /^a setting of auditd, not a rule$/],
  [3, /^a setting of auditd, not a rule$/],
  [4, /^a setting of auditd, not a rule$/],
  [17, /^it chooses system calls \(-S unlink,rename\); remove -S, or write a policy for the function$/],
  [18, /^it chooses system calls \(-S openat\)/],
  [19, /^it excludes events; write filter\.deny of an exporter \(docs\/reference\/exporters\/README\.md\)$/],
  [20, /^expected the list always,exit, got always,exclude$/],
  [21, /^policies have no counterpart of -F uid=0$/],
  [22, /^policies have no counterpart of -F dir!=\/etc$/],
  [23, /^it names two files$/],
  [24, /^expected an absolute path without "\." and "\.\.", got "etc\/passwd"$/],
  [25, /^expected permissions of the letters r, w, x and a, got "q"$/],
  [26, /^expected an absolute path without/],
  [27, /^a setting of auditd, not a rule$/],
]

interface Made {
  readonly policy: Policy
  readonly text: string
  readonly calls: readonly string[]
}

function made(text: string): Made {
  const result = parsePolicy(text, 'p.yaml')
  if ('problems' in result) assert.fail(JSON.stringify(result))
  assert.deepEqual(result.warnings, [])
  return { policy: result.policy, text, calls: [...new Set(result.policy.hooks.map(({ call }) => call))] }
}

test('migrate auditd: rules become policies by key and permissions; others are named with line and reason', async () => {
  using folder = new Folder()
  const file = folder.at('audit.rules')
  writeFileSync(file, RULES)
  const { code, stdout, stderr } = await typed(['migrate', 'auditd', file])
  assert.equal(code, 0)
  const lines = stderr.trimEnd().split('\n')
  assert.equal(lines.pop(), '11 of 25 lines converted to 8 policies')
  assert.equal(lines.length, NOT.length, stderr)
  for (const [i, [line, reason]] of NOT.entries()) {
    const start = `${file}:${line}: not converted: `
    assert.ok(lines[i]?.startsWith(start), `${lines[i]}, expected line ${line}`)
    assert.match(lines[i]?.slice(start.length) ?? '', reason)
  }
  const policies = new Map(stdout.split(/^---\n/m).map((text) => [made(text).policy.name, made(text)]))
  const names = ['identity', 'scope', 'admin-tools', 'audit', 'data', 'data-2', 'attributes', 'contents']
  assert.deepEqual([...policies.keys()], names)
  const of = (name: string): Made => policies.get(name) ?? assert.fail(name)

  // Three files, each once, in one list.
  assert.match(of('identity').text, /^# Rules of auditd:\n# {3}-w \/etc\/passwd -p wa -k identity\n/)
  assert.match(of('identity').text, /values: &files1 \[ \/etc\/passwd, \/etc\/group, \/etc\/shadow \]/)
  assert.match(of('scope').text, /&files1 \[ \/etc\/sudoers\.d \]/)
  assert.match(of('admin-tools').text, /^# Without the condition auid>=1000, auid!=unset: more is reported\.$/m)
  assert.match(of('data-2').text, /matchBinaries: \[ \{ operator: In, values: \[ \/usr\/bin\/cat \] \} \]/)
  assert.doesNotMatch(of('data').text, /matchBinaries/)

  const writes = ['security_file_permission', 'vfs_unlink', 'security_path_rename', 'vfs_truncate']
  const attributes = ['chmod_common', 'chown_common', 'vfs_setxattr', 'vfs_utimes']
  const sees = (name: string, all: readonly string[]): boolean[] => all.map((call) => of(name).calls.includes(call))
  assert.deepEqual(sees('identity', [...writes, ...attributes]), Array(8).fill(true))
  assert.deepEqual(sees('contents', [...writes, ...attributes]), [...Array(4).fill(true), ...Array(4).fill(false)])
  assert.deepEqual(sees('attributes', [...writes, ...attributes]), [...Array(4).fill(false), ...Array(4).fill(true)])
  assert.ok(of('admin-tools').calls.includes('security_bprm_check'))
  assert.deepEqual(sees('admin-tools', [...writes, ...attributes]), Array(8).fill(false))
  assert.deepEqual(sees('data', ['security_file_permission', 'vfs_unlink', 'security_bprm_check']), [
    true,
    false,
    false,
  ])
  assert.deepEqual(sees('audit', [...writes, ...attributes, 'security_bprm_check']), Array(9).fill(true))
})

test('migrate auditd: several files, into a folder, without replacing files', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('a.rules'), '-w /etc/passwd -p wa -k identity\n')
  writeFileSync(folder.at('b.rules'), '-w /etc/group -p wa -k identity\n-w /etc/ssh -p r\n')
  const args = ['migrate', 'auditd', folder.at('a.rules'), folder.at('b.rules'), '--output', folder.path]
  assert.deepEqual(await typed(args), { code: 0, stdout: '', stderr: '3 of 3 lines converted to 2 policies\n' })
  assert.deepEqual(folder.names(), ['a.rules', 'audit.yaml', 'b.rules', 'identity.yaml'])
  assert.equal(made(readFileSync(folder.at('identity.yaml'), 'utf8')).policy.name, 'identity')
  await assert.rejects(typed(args), /identity\.yaml" already exists: /)
  assert.equal((await typed([...args, '--force'])).code, 0)
})

test('migrate auditd: nothing to convert, no file, an unreadable one, hostile keys', async () => {
  using folder = new Folder()
  writeFileSync(folder.at('none.rules'), '-D\n\n')
  assert.deepEqual(await typed(['migrate', 'auditd', folder.at('none.rules')]), {
    code: 1,
    stdout: '',
    stderr: `${folder.at('none.rules')}:1: not converted: a setting of auditd, not a rule\n0 of 1 line converted to 0 policies\n`,
  })
  await assert.rejects(typed(['migrate', 'auditd']), /migrate auditd requires a file, or - for standard input$/)
  const missing = await typed(['migrate', 'auditd', folder.at('no.rules')])
  assert.deepEqual(
    [missing.code, missing.stdout],
    [78, `${folder.at('no.rules')}: cannot read the file: no such file\n`],
  )
  writeFileSync(
    folder.at('keys.rules'),
    `-w /a -k ../../etc/passwd\n-w /b -k \u001b[31m\n-w /c -k ${'x'.repeat(500)}\n-w /d#: -k ---\n`,
  )
  const { code, stdout, stderr } = await typed(['migrate', 'auditd', folder.at('keys.rules')])
  assert.deepEqual([code, stderr], [0, '4 of 4 lines converted to 4 policies\n'])
  assert.ok(!stdout.includes('\u001b'))
  const names = stdout.split(/^---\n/m).map((text) => made(text).policy.name)
  assert.deepEqual(names, ['etc-passwd', '31m', 'x'.repeat(50), 'audit'])
})
