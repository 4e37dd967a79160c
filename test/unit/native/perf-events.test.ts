/** The capability that a perf event requires here, found by opening one. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const NATIVE = fileURLToPath(new URL('../../../native/index.ts', import.meta.url))
const PROGRAM = `import { readFileSync } from 'node:fs'
import { perfEvents } from ${JSON.stringify(NATIVE)}
const rights = () => /^CapEff:\\t(\\w+)$/m.exec(readFileSync('/proc/thread-self/status', 'utf8'))[1]
const before = rights()
console.log(perfEvents(), rights() === before)`

const skip = process.geteuid?.() === 0 ? false : 'only root has capabilities to leave out'
if (skip !== false) console.log(`perf events: skipped: ${skip}`)

/** The result of `perfEvents` with these capabilities, and whether they are still there afterwards. */
function withRights(rights: string): string {
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', '--input-type=module', '-e', PROGRAM]
  return execFileSync('setpriv', [`--bounding-set=${rights}`, ...node], { encoding: 'utf8' }).trim()
}

test('perf events: none without a capability, and CAP_SYS_ADMIN is left out but not lost', { skip }, () => {
  // One kernel answers both alike, whatever its kernel.perf_event_paranoid is.
  const [answer] = withRights('-all,+perfmon').split(' ')
  assert.equal(withRights('-all,+perfmon,+sys_admin'), `${answer} true`)
  const everybody = Number(readFileSync('/proc/sys/kernel/perf_event_paranoid', 'utf8')) < 2
  assert.equal(withRights('-all'), `${everybody} true`)
})
