import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

import { NativeError } from '../../../native/errors.ts'
import { refusal, toNativeError } from '../../../native/load-log.ts'

const VERIFIER = `libbpf: prog 'handle_hook': BPF program load failed: Permission denied
libbpf: prog 'handle_hook': -- BEGIN PROG LOAD LOG --
0: R1=ctx() R10=fp0
; int handle_hook(void *ctx) @ hook.bpf.c:10
0: (b4) w1 = 1                        ; R1_w=1
1: (85) call bpf_map_lookup_elem#1    ; R0_w=map_value_or_null(id=1,map=table,ks=4,vs=8)
; return *value; @ hook.bpf.c:14
2: (79) r0 = *(u64 *)(r0 +0)
R0 invalid mem access 'map_value_or_null'
processed 3 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
-- END PROG LOAD LOG --
libbpf: prog 'handle_hook': failed to load: -13
libbpf: failed to load object 'hook.bpf.o'
`

describe('native: refusal by the verifier', () => {
  const rows = [
    {
      name: 'with C lines',
      log: VERIFIER,
      want: {
        instruction: '2: (79) r0 = *(u64 *)(r0 +0)',
        source: 'return *value; @ hook.bpf.c:14',
        reason: "R0 invalid mem access 'map_value_or_null'",
      },
    },
    {
      name: 'without C lines or state',
      log: '0: (b7) r0 = 1\n1: (61) r2 = *(u32 *)(r1 +400)\ninvalid bpf_context access off=400 size=4\nprocessed 2 insns\n',
      want: {
        instruction: '1: (61) r2 = *(u32 *)(r1 +400)',
        source: '',
        reason: 'invalid bpf_context access off=400 size=4',
      },
    },
    {
      name: 'a state line and a branch between instruction and reason',
      log: '7: (15) if r0 == 0x0 goto pc+1\nfrom 7 to 9: R0=0 R10=fp0\n9: R0=0\n9: (79) r1 = *(u64 *)(r0 +0)\nR0 invalid mem access\n',
      want: { instruction: '9: (79) r1 = *(u64 *)(r0 +0)', source: '', reason: 'R0 invalid mem access' },
    },
    {
      name: 'a reason before any instruction',
      log: 'func#0 @0\nback-edge from insn 3 to 1\nprocessed 0 insns\n',
      want: { instruction: '', source: '', reason: 'back-edge from insn 3 to 1' },
    },
    { name: 'an empty log', log: '', want: { instruction: '', source: '', reason: '' } },
  ]
  for (const { name, log, want } of rows) it(name, () => assert.deepEqual(refusal(log), want))
})

describe('native: toNativeError', () => {
  const message = 'cannot load hook.bpf.o: Invalid argument (EINVAL)'
  const rows = [
    {
      name: 'a refused program: its instruction, line and reason',
      failure: { code: 'LOAD_REFUSED', errno: 13, log: VERIFIER },
      code: 'LOAD_REFUSED',
      target: 'handle_hook',
      message: `cannot load program "handle_hook": the verifier refused it at instruction 2: (79) r0 = *(u64 *)(r0 +0) [return *value; @ hook.bpf.c:14]: R0 invalid mem access 'map_value_or_null'`,
    },
    {
      name: 'a missing right is not reported as a refused program',
      failure: {
        code: 'LOAD_REFUSED',
        errno: 1,
        log: "libbpf: prog 'x': BPF program load failed: Operation not permitted\n",
      },
      code: 'NOT_PERMITTED',
      target: 'x',
      message: `${message}; loading BPF needs root (CAP_BPF and CAP_PERFMON)`,
    },
    {
      name: 'a map that cannot be created',
      failure: {
        code: 'LOAD_REFUSED',
        errno: 7,
        log: "libbpf: map 'table': failed to create: Argument list too long(-7)\nlibbpf: failed to load object 'hook.bpf.o'\n",
      },
      code: 'MAP_FAILED',
      target: 'table',
      message: 'cannot create map "table": Argument list too long(-7)',
    },
    {
      name: 'a kernel without BTF',
      failure: { code: 'LOAD_REFUSED', errno: 3, log: 'libbpf: Error loading vmlinux BTF: -3\n' },
      code: 'NO_BTF',
      target: 'hook.bpf.o',
      message: `${message}: this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)`,
    },
    {
      name: 'a failure of a program before the verifier',
      failure: {
        code: 'LOAD_REFUSED',
        errno: 22,
        log: "libbpf: prog 'x': bad relo against 'y'\nlibbpf: failed to load object 'z'\n",
      },
      code: 'LOAD_FAILED',
      target: 'x',
      message: `cannot load program "x": ${message}: prog 'x': bad relo against 'y'`,
    },
    {
      name: 'a failure without a message',
      failure: { code: 'LOAD_REFUSED', errno: 22, log: '' },
      code: 'LOAD_FAILED',
      target: 'hook.bpf.o',
      message,
    },
    {
      name: 'any other code stays as it is',
      failure: { code: 'NO_SYMBOL', errno: 3, log: '' },
      code: 'NO_SYMBOL',
      target: 'hook.bpf.o',
      message,
    },
    {
      name: 'a code of another version',
      failure: { code: 'WHAT', errno: 0, log: '' },
      code: 'UNSUPPORTED',
      target: 'hook.bpf.o',
      message,
    },
  ]
  for (const { name, failure, code, target, message: want } of rows) {
    it(name, () => {
      const error = toNativeError({ op: 'openObject', target: 'hook.bpf.o', message, ...failure })
      assert.ok(error instanceof NativeError)
      assert.equal(error.message, want)
      assert.equal(error.code, code)
      assert.equal(error.target, target)
      assert.equal(error.errno, failure.errno)
      assert.equal(error.log, failure.log)
      assert.equal(error.cause, failure.log === '' ? undefined : failure.log)
    })
  }
})

describe('native: the limit on open files', () => {
  for (const [errno, name, raise] of [
    [24, 'EMFILE', 'of this process is reached; raise it (ulimit -n, or LimitNOFILE= of the service)'],
    [23, 'ENFILE', 'of this system is reached; raise it (sysctl fs.file-max)'],
  ] as const) {
    for (const code of ['LOAD_REFUSED', 'MAP_FAILED', 'ATTACH_FAILED']) {
      it(`is reported, and not the verifier, if ${code} fails with ${name}`, () => {
        const message = `cannot load hook.bpf.o: Too many open files (${name})`
        const error = toNativeError({ code, errno, op: 'openObject', target: 'hook.bpf.o', message, log: VERIFIER })
        assert.equal(error.code, 'NO_DESCRIPTORS')
        assert.equal(error.message, `${message}: the limit on open files ${raise}`)
        assert.equal(error.log, VERIFIER)
      })
    }
  }
})
