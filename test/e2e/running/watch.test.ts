/** `ktrail watch` without a running agent. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, rmSync } from 'node:fs'
import { test } from 'node:test'
import { cannotRun, ktrail } from '../support/agent.ts'
import { Watching } from './watching.ts'

const FILE = '/tmp/ktrail-own/file'

test(
  'watch: it starts an agent, which a second command uses; Ctrl-C ends both and leaves nothing',
  { skip: cannotRun() },
  async () => {
    mkdirSync('/tmp/ktrail-own')
    copyFileSync('/bin/true', FILE)
    const began = performance.now()
    using first = await Watching.start(FILE, '--read')
    console.log(`ktrail watch began after ${Math.round(performance.now() - began)} ms`)
    assert.match(first.stderr, /^ktrail: no agent runs here: starting one for this command$/m)
    using second = await Watching.start(FILE, '--exec', '--by-name', '-o', 'json')
    assert.doesNotMatch(second.stderr, /no agent runs/)
    execFileSync('cat', [FILE])
    execFileSync(FILE)
    await first.shows(/ read {6}\/tmp\/ktrail-own\/file(?: \(\d times\))? {2}/)
    await second.shows(/"process_kprobe"/)
    assert.doesNotMatch(second.stdout, /\/cat"/)
    first.child.kill('SIGINT')
    assert.deepEqual([await first.ended, await second.ended], [0, 0])
    assert.match(first.stdout, /^(?:\d\d:\d\d:\d\d .*\n)+$/)
    const { stderr } = await ktrail(['policy', 'list'])
    assert.match(stderr, /no agent listens on/)
    rmSync('/tmp/ktrail-own', { recursive: true })
  },
)
