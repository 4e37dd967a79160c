/** Releasing code that only a start needs, in processes of their own: the real addon on this machine's Node. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'

const built = existsSync(fileURLToPath(new URL('../../../native/build/Release/ktrail.node', import.meta.url)))
const skip = built ? false : 'the addon is not built: run make build'
if (skip !== false) console.log(`native memory: skipped: ${skip}`)

const ADDON = fileURLToPath(new URL('../../../native/index.ts', import.meta.url))

/** The JSON that `code` prints; `code` can use `releaseCode` and `kB(field)` of /proc/self/status. */
function inProcess(code: string, flags: readonly string[] = []): unknown {
  const program = `
    import { readFileSync } from 'node:fs'
    import { gzipSync, gunzipSync } from 'node:zlib'
    import { createHash } from 'node:crypto'
    import { releaseCode } from ${JSON.stringify(ADDON)}
    const kB = (field) => Number(new RegExp(field + ':\\\\s+(\\\\d+)').exec(readFileSync('/proc/self/status', 'utf8'))[1])
    ${code}`
  const args = ['--disable-warning=ExperimentalWarning', ...flags, '--input-type=module', '--eval', program]
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' }))
}

describe('releaseCode', { skip }, () => {
  it('releases most of the code of the process', () => {
    const seen = inProcess(`
      const before = kB('RssFile'), released = releaseCode()
      console.log(JSON.stringify({ before, released, after: kB('RssFile') }))`) as Record<string, number>
    const { before = 0, released = 0, after = Infinity } = seen
    assert.ok(released > 10e6, `expected more than 10 MB, got ${released}`)
    assert.ok(after < before / 2, `expected less than half of ${before} kB, got ${after}`)
  })

  it('leaves a working process, also when called repeatedly and from a worker', () => {
    const seen = inProcess(`
      import { Worker } from 'node:worker_threads'
      import { once } from 'node:events'
      const text = 'ktrail '.repeat(100_000)
      const digest = () => createHash('sha256').update(gunzipSync(gzipSync(JSON.parse(JSON.stringify(text))))).digest('hex')
      const want = digest()
      const seen = new Set()
      const work = () => seen.add(digest() === want)
      for (let i = 0; i < 20; i++) { releaseCode(); work() }
      const worker = new Worker("import(" + JSON.stringify(${JSON.stringify(ADDON)}) + ").then(({ releaseCode }) => releaseCode())", { eval: true })
      while (worker.threadId !== -1) { work(); await new Promise(setImmediate) }
      try { null.field } catch (error) { seen.add(error.name) }
      console.log(JSON.stringify([...seen]))`)
    assert.deepEqual(seen, [true, 'TypeError'])
  })

  it('keeps code that was moved to memory of its own', () => {
    const seen = inProcess(
      `const released = releaseCode(); console.log(JSON.stringify({ released, sum: [1, 2, 3].reduce((a, b) => a + b) }))`,
      ['--use-largepages=on'],
    ) as Record<string, number>
    assert.equal(seen['sum'], 6)
  })
})
