/** A service that starts while a command has an agent of its own: the service goes first, and the command loses no event. */
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { cannotRun, ktrail, TestAgent } from '../support/agent.ts'
import { fileHook, path, policy } from '../support/policy.ts'
import { until } from '../support/wait.ts'
import { Watching } from './watching.ts'

const FOLDER = '/tmp/ktrail-service'
const skip = cannotRun()

const errorsOf = (service: TestAgent): unknown[] => service.log().filter(({ level = 0 }) => level >= 50)

/** Reads a new file again and again. */
class Reading {
  count = 0
  #ended = false
  readonly #done: Promise<void>

  constructor() {
    this.#done = this.#read()
  }

  async #read(): Promise<void> {
    while (!this.#ended) {
      writeFileSync(`${FOLDER}/f${this.count}`, 'x')
      await promisify(execFile)('cat', [`${FOLDER}/f${this.count}`])
      this.count++
    }
  }

  end(): Promise<void> {
    this.#ended = true
    return this.#done
  }
}

for (const flags of [[], ['--takeover']]) {
  test(
    `watch: with \`ktrail ${['run', ...flags].join(' ')}\` it goes on as a client, and loses no event`,
    { skip },
    async () => {
      mkdirSync(FOLDER, { recursive: true })
      using watch = await Watching.start(FOLDER, '--read')
      assert.match(watch.stderr, /no agent runs here: starting one/)
      assert.match(watch.stderr, /^ktrail: attaching to \d+ functions…$/m)
      const reading = new Reading()
      await using service = await TestAgent.start({ flags })
      await until('the change', () => watch.stderr.includes('an agent runs here now'))
      const more = reading.count + 20
      await until('more reads', () => reading.count >= more)
      await reading.end()
      await watch.shows(new RegExp(` read .*/f${reading.count - 1}\\b`))
      assert.deepEqual(errorsOf(service), [])
      const seen = Array.from(
        { length: reading.count },
        (_, i) => [...watch.stdout.matchAll(new RegExp(` read .*/f${i}\\b`, 'g'))].length,
      )
      assert.deepEqual(
        seen.flatMap((times, i) => (times === 0 ? [i] : [])),
        [],
      )
      const twice = seen.filter((times) => times > 1).length
      console.log(`${reading.count} reads, ${twice} of them shown twice`)
      assert.ok(twice <= 2)
      const { stdout } = await ktrail(['policy', 'list'])
      assert.match(stdout, /watch-1/)
      watch.child.kill('SIGINT')
      assert.equal(await watch.ended, 'SIGINT')
      assert.equal((await service.stop()).code, 0)
      rmSync(FOLDER, { recursive: true })
    },
  )
}

test('trace: it follows a process whose parents have ended before the service started', { skip }, async () => {
  mkdirSync(FOLDER, { recursive: true })
  writeFileSync(`${FOLDER}/in`, 'x'.repeat(5000))
  execFileSync('mkfifo', [`${FOLDER}/go`])
  const command = `(cat ${FOLDER}/go; cat ${FOLDER}/in > ${FOLDER}/late) >/dev/null 2>&1 & exit 3`
  let stderr = ''
  const ended = ktrail(['trace', '-o', 'json', '--', 'sh', '-c', command], {
    ms: 240_000,
    onStderr: (text) => void (stderr += text),
  })
  await until('the command to end', () => stderr.includes('the command has ended, still running: '), { ms: 180_000 })
  await using service = await TestAgent.start()
  writeFileSync(`${FOLDER}/go`, '\n')
  const { code, stdout } = await ended
  assert.equal(code, 3, stderr)
  assert.deepEqual(errorsOf(service), [])
  const answer = JSON.parse(stdout) as {
    processes: ReadonlyArray<{ files: ReadonlyArray<{ path: string; write: { bytes: number } }> }>
  }
  const files = answer.processes.flatMap((each) => each.files)
  assert.equal(files.find((file) => file.path === `${FOLDER}/late`)?.write.bytes, 5000, stdout)
  rmSync(FOLDER, { recursive: true })
})

test('policy estimate: it counts to its end while the service runs', { skip }, async () => {
  mkdirSync(FOLDER, { recursive: true })
  writeFileSync(`${FOLDER}/p.yaml`, policy('counted', [fileHook([path('Prefix', FOLDER)])]))
  using estimate = await Watching.run('policy', 'estimate', `${FOLDER}/p.yaml`, '--for', '1h', '-o', 'json')
  await using service = await TestAgent.start()
  execFileSync('cat', [`${FOLDER}/p.yaml`])
  estimate.child.kill('SIGINT')
  assert.equal(await estimate.ended, 0, estimate.stderr)
  const { policies } = JSON.parse(estimate.stdout) as { policies: ReadonlyArray<{ events_per_second: number }> }
  assert.ok((policies[0]?.events_per_second ?? 0) > 0, estimate.stdout)
  assert.deepEqual(errorsOf(service), [])
  rmSync(FOLDER, { recursive: true })
})
