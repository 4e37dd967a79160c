/** Facts about the running kernel, parsed from texts. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePreemption, parseRelease, readKernelFacts } from '../../../../collector/kernel/read-facts.ts'
import type { KernelFunction } from '../../../../native/types.ts'

for (const [text, version] of [
  ['6.12.95+deb12-amd64', [6, 12]],
  ['6.1.0-13-cloud-amd64', [6, 1]],
  ['7.3.0-rc1', [7, 3]],
  ['10.0', [10, 0]],
  ['', [0, 0]],
  ['linux', [0, 0]],
  ['v6.12', [0, 0]],
] as const) {
  test(`facts: release "${text}" is ${version.join('.')}`, () => assert.deepEqual(parseRelease(text), version))
}

const DYNAMIC = 'Linux version 6.12 #1 SMP PREEMPT_DYNAMIC Debian'
const PREEMPTION: ReadonlyArray<
  readonly [debugfs: string | undefined, cmdline: string, version: string, want: string]
> = [
  ['none voluntary (full)\n', 'preempt=none', DYNAMIC, 'full'],
  ['none (voluntary) full\n', '', DYNAMIC, 'voluntary'],
  ['(none) voluntary full lazy', '', DYNAMIC, 'none'],
  ['full (lazy)', '', DYNAMIC, 'lazy'],
  ['garbage', 'ro preempt=full quiet', DYNAMIC, 'full'],
  [undefined, 'preempt=voluntary', DYNAMIC, 'voluntary'],
  [undefined, 'preempt=full', DYNAMIC, 'full'],
  [undefined, 'nopreempt=full', DYNAMIC, 'unknown'],
  [undefined, 'preempt=other', DYNAMIC, 'unknown'],
  [undefined, 'ro', DYNAMIC, 'unknown'],
  [undefined, '', 'Linux version 6.6 #1 SMP PREEMPT_RT', 'full'],
  [undefined, '', 'Linux version 6.6 #1 SMP PREEMPT ', 'full'],
  [undefined, '', 'Linux version 5.10 #1 SMP Debian', 'voluntary'],
]

for (const [debugfs, cmdline, version, want] of PREEMPTION) {
  test(`facts: preemption from ${JSON.stringify([debugfs ?? 'no debugfs', cmdline, version])} is ${want}`, () =>
    assert.equal(parsePreemption(debugfs, cmdline, version), want))
}

const nothing = async (): Promise<Map<string, never>> => new Map<string, never>()
const no = (): boolean => false

test('facts: symbols missing in kallsyms are 0, and there is no fprobe', async () => {
  const none = await readKernelFacts(nothing, nothing, no)
  assert.deepEqual([none.renameLock, none.mountLock, none.fprobe, none.trampolines], [0n, 0n, false, false])
  const all = await readKernelFacts(
    async (names) => new Map(names.map((name, i) => [name, BigInt(i + 1)])),
    nothing,
    no,
  )
  assert.ok(all.renameLock > 0n && all.mountLock > 0n && all.fprobe && all.trampolines)
})

const taking = (count: number): KernelFunction => ({
  returns: 'bool',
  returnsBase: 'bool',
  params: Array.from({ length: count }, () => ({ name: 'ctx', type: 'void *', base: 'void *', sizeBytes: 8 })),
})

const OFFERS: ReadonlyArray<readonly [what: string, functions: Record<string, KernelFunction>, want: unknown[]]> = [
  ['none of them', {}, [false, false, 'none']],
  ['bpf_loop', { bpf_loop: taking(4) }, [true, false, 'none']],
  ['bpf_rdonly_cast', { bpf_rdonly_cast: taking(2) }, [false, true, 'none']],
  ['session kfuncs without an argument', { bpf_session_is_return: taking(0) }, [false, false, 'plain']],
  ['session kfuncs that take the context', { bpf_session_is_return: taking(1) }, [false, false, 'context']],
]

for (const [what, functions, want] of OFFERS) {
  test(`facts: BTF with ${what}`, async () => {
    const facts = await readKernelFacts(nothing, async () => new Map(Object.entries(functions)), no)
    assert.deepEqual([facts.loops, facts.typedLoads, facts.session], want)
  })
}
