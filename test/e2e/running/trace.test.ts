/** `ktrail trace` without a running agent. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { cannotRun, ktrail } from '../support/agent.ts'
import { kernelAtLeast } from '../support/kernel.ts'

interface Use {
  readonly path: string
  readonly read: { readonly calls: number; readonly bytes: number }
  readonly write: { readonly calls: number; readonly bytes: number }
  readonly executed: boolean
  readonly deleted: boolean
}

interface Answer {
  readonly exitCode: number
  readonly processes: ReadonlyArray<{
    readonly pid: number
    readonly binary: string
    readonly parent: number | null
    readonly files: readonly Use[]
  }>
}

const FOLDER = '/tmp/ktrail-trace'
const STILL = /the command has ended, still running: /
/** Its child writes once `ktrail trace` has reported that it still runs. */
const COMMAND = `cat ${FOLDER}/in > ${FOLDER}/out; rm ${FOLDER}/in; (cat ${FOLDER}/go; echo late > ${FOLDER}/late) >/dev/null 2>&1 & exit 3`

test(
  'trace: files of a command and of a child that outlives it, with bytes, and its exit code',
  { skip: cannotRun() },
  async () => {
    mkdirSync(FOLDER)
    writeFileSync(`${FOLDER}/in`, 'x'.repeat(5000))
    execFileSync('mkfifo', [`${FOLDER}/go`])
    const { code, stdout, stderr } = await ktrail(['trace', '-o', 'json', '--', 'sh', '-c', COMMAND], {
      ms: 240_000,
      onStderr: (text) => STILL.test(text) && writeFileSync(`${FOLDER}/go`, '\n'),
    })
    console.log(stderr)
    assert.equal(code, 3, stderr)
    const { exitCode, processes } = JSON.parse(stdout) as Answer
    assert.equal(exitCode, 3)
    const use = (binary: RegExp, path: string): Use | undefined =>
      processes
        .find((each) => binary.test(each.binary) && each.files.some((file) => file.path === path))
        ?.files.find((file) => file.path === path)
    const cat = use(/\/cat$/, `${FOLDER}/in`)
    assert.deepEqual([cat?.read.bytes, (cat?.read.calls ?? 0) >= 2], [5000, true], stdout)
    assert.equal(use(/\/cat$/, `${FOLDER}/out`)?.write.bytes, 5000, stdout)
    assert.ok(
      processes.some(({ files }) => files.some(({ path, executed }) => executed && path.endsWith('/cat'))),
      stdout,
    )
    assert.ok(
      !kernelAtLeast(5, 17) ||
        processes.some(({ files }) => files.some(({ path, deleted }) => deleted && path.endsWith('/in'))),
      stdout,
    )
    assert.equal(use(/sh$/, `${FOLDER}/late`)?.write.bytes, 5, stdout)
    assert.match(stderr, STILL)
    rmSync(FOLDER, { recursive: true })
  },
)

test('trace: files of builtins are those of the shell, and its own are left out', { skip: cannotRun() }, async () => {
  const folder = '/tmp/ktrail-builtin'
  mkdirSync(folder)
  writeFileSync(`${folder}/in`, 'x\n')
  const { code, stdout } = await ktrail(
    ['trace', '-o', 'json', '--', 'eval', `read line < ${folder}/in; echo "$line$line" > ${folder}/out; exit 4`],
    { ms: 240_000 },
  )
  assert.equal(code, 4, stdout)
  const { processes } = JSON.parse(stdout) as Answer
  assert.deepEqual(
    processes
      .flatMap(({ files }) => files.map(({ path, read, write }) => [path, read.bytes, write.bytes]))
      // The path of a created file begins at its file system.
      .filter(([path]) => path !== '/ktrail-builtin/out')
      .toSorted(),
    [
      [`${folder}/in`, 2, 0],
      [`${folder}/out`, 0, 3],
    ],
    stdout,
  )
  rmSync(folder, { recursive: true })
})
