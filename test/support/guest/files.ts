/**
 * Runs test files in a guest, one after the other: the first one, which run.sh has taken, then each that no other guest has taken.
 *
 *   node test/support/guest/files.ts TALLY TAKEN FILE...
 *
 * TAKEN is a folder that the guests share through the host's file system: who makes the folder of a file in it runs the file. TALLY gets the lines
 * of tally-reporter.ts.
 */
import { createWriteStream, mkdirSync } from 'node:fs'
import path from 'node:path'
import { Duplex, Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import type { TestEvent } from 'node:test/reporters'
import { errnoOf } from '../../../exporters/contract/errors.ts'
import tallyReporter from '../tally-reporter.ts'

/** A guest takes no file after this time: the next one starts with an empty kernel, and a crash costs only the file that it runs. */
const TAKES_MS = 900_000

const [tally = '', taken = '', ...files] = process.argv.slice(2)

function take(file: string): boolean {
  if (performance.now() > TAKES_MS) return false
  try {
    mkdirSync(path.join(taken, file.replaceAll('/', ':')))
    return true
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false
    throw error
  }
}

/** The events of all files, and one summary of them at the end. */
async function* events(): AsyncGenerator<TestEvent> {
  const counts = { cancelled: 0, passed: 0, skipped: 0, suites: 0, tests: 0, todo: 0, topLevel: 0 }
  for (const [i, file] of files.entries()) {
    if (i > 0 && !take(file)) continue
    for await (const event of run({ files: [file], concurrency: false }) as AsyncIterable<TestEvent>) {
      if (event.type === 'test:fail' && !event.data.todo) process.exitCode = 1
      if (event.type === 'test:summary' && event.data.file === undefined) {
        for (const key of Object.keys(counts) as Array<keyof typeof counts>) counts[key] += event.data.counts[key]
      } else yield event
    }
  }
  const success = process.exitCode === undefined
  yield { type: 'test:summary', data: { file: undefined, success, counts, duration_ms: performance.now() } }
}

const all = Readable.from(events())
all.pipe(new spec()).pipe(process.stdout)
await finished(all.pipe(Duplex.from(tallyReporter)).pipe(createWriteStream(tally)))
