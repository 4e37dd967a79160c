/** The config that each command reads: one order for all, beside a real agent on a kernel that plays records. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { TestAgent, cannotReplay, hostFolder } from '../../e2e/support/agent.ts'
import type { Written } from '../../unit/collector/cli/support/terminal.ts'

const skip = cannotReplay()
if (skip !== false) console.log(`config-file: skipped: ${skip}`)

const SCRIPT = fileURLToPath(new URL('support/command-lines.ts', import.meta.url))
const SHIPPED = fileURLToPath(new URL('../../../config/ktrail.yaml', import.meta.url))
const INSTALLED = '/etc/ktrail/ktrail.yaml'

/** All commands that read a config. */
const COMMANDS = [
  'run',
  'config print',
  'config print --effective',
  'spool ls',
  'spool verify',
  'spool repair loki',
  'spool replay loki',
  'check --probe',
  'check --kernel',
  'status',
  'top --once',
]
/** Commands that read no config while they can connect to the agent's own socket. */
const BY_SOCKET = ['status', 'top --once']

interface Situation {
  readonly name: string
  /** Done in a mount namespace of its own, as root. */
  readonly setup: string
  readonly words?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** The config that commands read; the one of `run` if it differs. */
  readonly want: string
  readonly runs?: string
}

test('the config of a command', { skip }, async (t) => {
  const folder = hostFolder('config-file')
  /** A config with a mistake, so that each command names the file that it has read. */
  const broken = (name: string): string => {
    writeFileSync(join(folder, name), 'mistake: 1\nexporters: { screen: { type: stdout } }\n')
    return join(folder, name)
  }
  const [typed, variable, other, shipped] = ['typed', 'variable', 'other', 'shipped'].map((name) =>
    broken(`${name}.yaml`),
  )
  // Only in the namespace. Without the name of a user or a host, commands still work.
  const bare = `mount -t tmpfs none /etc; mount --bind ${shipped} ${SHIPPED}`
  const installed = `${bare}; mkdir /etc/ktrail; cp ${other} ${INSTALLED}`
  const alone = 'mount -t tmpfs none /run/ktrail'

  await using agent = await TestAgent.start({
    replayed: true,
    config: { server: { http: '127.0.0.1:0', token: 'open-sesame' } },
  })
  const own = join(agent.folder, 'config.yaml')
  appendFileSync(own, '\nmistake: 1\n')
  await agent.until('the refusal of the mistake', () => agent.log().some(({ msg }) => msg?.includes('is refused')))

  const situations: readonly Situation[] = [
    { name: 'an agent, --config', setup: installed, words: ['--config', typed ?? ''], want: typed ?? '' },
    { name: 'an agent, KTRAIL_CONFIG', setup: installed, env: { KTRAIL_CONFIG: variable ?? '' }, want: variable ?? '' },
    {
      name: 'an agent, --config and KTRAIL_CONFIG',
      setup: installed,
      words: ['--config', typed ?? ''],
      env: { KTRAIL_CONFIG: variable ?? '' },
      want: typed ?? '',
    },
    { name: 'an agent and an installed config', setup: installed, want: own, runs: INSTALLED },
    { name: 'an agent without an installed config', setup: bare, want: own, runs: SHIPPED },
    {
      name: 'an agent whose path leads to another file here',
      setup: `${installed}; mount --bind ${other} ${own}`,
      want: INSTALLED,
    },
    {
      name: 'an agent whose file is missing here',
      setup: `${bare}; mount -t tmpfs none ${agent.folder}`,
      want: SHIPPED,
    },
    { name: 'no agent, an installed config', setup: `${installed}; ${alone}`, want: INSTALLED },
    {
      name: 'no agent, an empty KTRAIL_CONFIG',
      setup: `${installed}; ${alone}`,
      env: { KTRAIL_CONFIG: '' },
      want: INSTALLED,
    },
    { name: 'no agent, nothing installed', setup: `${bare}; ${alone}`, want: SHIPPED },
  ]

  const resultsOf = async ({ setup, words = [], env = {} }: Situation): Promise<readonly Written[]> => {
    const lines = JSON.stringify(COMMANDS.map((command) => [...command.split(' '), ...words]))
    const inside = ['-t', `${agent.pid}`, '-m', 'unshare', '-m', 'sh', '-ec', `${setup}; exec "$0" "$@"`]
    const node = [process.execPath, '--disable-warning=ExperimentalWarning', SCRIPT, lines]
    const { stdout } = await promisify(execFile)('nsenter', [...inside, ...node], { env: { ...process.env, ...env } })
    return JSON.parse(stdout)
  }

  for (const situation of situations) {
    const { name, want, runs = want, setup } = situation
    await t.test(name, async () => {
      const results = await resultsOf(situation)
      const isNamed = situation.words !== undefined || Boolean(situation.env?.['KTRAIL_CONFIG'])
      for (const [i, command] of COMMANDS.entries()) {
        const { code, stdout, stderr } = results[i] ?? assert.fail(command)
        if (BY_SOCKET.includes(command) && !isNamed && !setup.includes(alone)) {
          // Neither the mistake in the config nor the token of server.token keeps the state from the agent's user.
          assert.match(stdout, /ready/, `${command}: ${stderr}`)
          continue
        }
        const file = command === 'run' ? runs : want
        const read = /^(\/\S+?):\d+:\d+: /m.exec(stdout + stderr)?.[1]
        assert.equal(read, file, `${command}: ${code}: ${stdout}${stderr}`)
        const line = /^ktrail: no --config, no KTRAIL_CONFIG and no \S+: using ktrail's own (\S+)$/m.exec(stderr)?.[1]
        assert.equal(line, file === SHIPPED ? SHIPPED : undefined, command)
      }
    })
  }
})
