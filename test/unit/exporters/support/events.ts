/** Events for tests and benches of exporters: complete, but each part can be replaced. */
import type {
  Argument,
  Container,
  ExecEvent,
  ExitEvent,
  FileArgument,
  Hook,
  HookEvent,
  ChangeEvent,
  LossEvent,
  NamedContainer,
  Pod,
  Process,
} from '../../../../exporters/contract/event.ts'
import { Renderings } from '../../../../exporters/contract/renderings.ts'
import type { Rendered } from '../../../../exporters/contract/renderings.ts'

const renderings = new Renderings(64 << 20)

/** Space for renderings that encoders keep with a process. */
export function makeRendered(): Rendered {
  return renderings.make()
}

export function makeProcess(change: Partial<Process> = {}): Process {
  return {
    execId: 'dGV0cmFnb24tZGV2LWNvbnRyb2wtcGxhbmU6MTY4MTc3MDUwMTI1NDI6NjQ3NDY=',
    parentExecId: 'dGV0cmFnb24tZGV2LWNvbnRyb2wtcGxhbmU6MTY4MDE3MDQ3OTQyOTg6NjQ2MTU=',
    pid: 64746,
    uid: 0,
    auid: 4294967295,
    cwd: '/',
    binary: '/bin/vi',
    arguments: '/etc/passwd',
    argv: 'vi',
    flags: 'execve rootcwd clone',
    startTime: { sec: 1713061082, nsec: 240856427 },
    docker: '6b742e38ee3a212239e6d48b2954435',
    inInitTree: undefined,
    refcnt: 1,
    rendered: makeRendered(),
    ...change,
  }
}

export function makeContainer(change: Partial<Container> = {}): Container {
  return {
    id: 'containerd://6b742e38ee3a212239e6d48b2954435fb1f5b1b0c4e9a3f6b7d0a5c8e1f20314',
    name: 'file-access',
    image: 'registry.example:5000/library/busybox:1.36',
    imageId:
      'registry.example:5000/library/busybox@sha256:3fbc632167424a6d997e74f52b878d7cc478225cffac6bc977eedfe51c7f4e79',
    startTime: { sec: 1713061060, nsec: 0 },
    privileged: false,
    ...change,
  }
}

export function makePod(change: Partial<Pod> = {}): Pod {
  return {
    namespace: 'default',
    name: 'file-access',
    uid: '1c9a7f0e-5f6d-4a6e-9a55-0d1c4f0b8a11',
    labels: {},
    workload: 'file-access',
    workloadKind: 'Pod',
    container: makeContainer(),
    ...change,
  }
}

export function makeNamedContainer(change: Partial<NamedContainer> = {}): NamedContainer {
  return {
    id: '6b742e38ee3a212239e6d48b2954435fb1f5b1b0c4e9a3f6b7d0a5c8e1f20314',
    name: 'web',
    image: 'registry.example:5000/library/nginx:1.27',
    imageId: 'sha256:3fbc632167424a6d997e74f52b878d7cc478225cffac6bc977eedfe51c7f4e79',
    labels: { 'com.docker.compose.service': 'shop' },
    ...change,
  }
}

export function makeParent(change: Partial<Process> = {}): Process {
  return makeProcess({
    execId: 'dGV0cmFnb24tZGV2LWNvbnRyb2wtcGxhbmU6MTY4MDE3MDQ3OTQyOTg6NjQ2MTU=',
    parentExecId: 'dGV0cmFnb24tZGV2LWNvbnRyb2wtcGxhbmU6MTY3OTgyOTA2MDc3NTc6NjQ1NjQ=',
    pid: 64615,
    binary: '/bin/sh',
    arguments: '',
    argv: 'sh',
    startTime: { sec: 1713061066, nsec: 240638141 },
    ...change,
  })
}

export function makeHook(change: Partial<Hook> = {}): Hook {
  return {
    id: 1,
    policy: 'file-monitoring',
    functionName: 'security_file_permission',
    action: 'post',
    returnAction: 'post',
    message: '',
    tags: [],
    labels: [],
    indexes: [0, 1, 2, 3, 4],
    ...change,
  }
}

export function file(path: string, change: Partial<FileArgument> = {}): FileArgument {
  const plain = {
    raw: undefined,
    mode: 0o100644,
    inode: 7,
    device: 1,
    unresolved: false,
    unstable: false,
    deleted: false,
    details: undefined,
  }
  return { kind: 'file', field: 'file_arg', path, ...plain, ...change }
}

export const int = (value: number): Argument => ({ kind: 'number', field: 'int_arg', value })
export const uint = (value: number): Argument => ({ kind: 'number', field: 'uint_arg', value })
export const long = (value: bigint): Argument => ({ kind: 'wide', field: 'long_arg', value })
export const size = (value: bigint): Argument => ({ kind: 'wide', field: 'size_arg', value })
export const text = (value: string): Argument => ({
  kind: 'string',
  field: 'string_arg',
  value,
  raw: undefined,
  truncated: false,
})
/** `more`: number of further bytes. */
export const bytes = (value: Uint8Array, more = 0): Argument => ({
  kind: 'bytes',
  field: more === 0 ? 'bytes_arg' : 'truncated_bytes_arg',
  value,
  size: BigInt(value.length + more),
})
export const struct = (
  field: string,
  value: string,
  ...members: ReadonlyArray<readonly [string, string | number | bigint]>
): Argument => ({ kind: 'struct', field, text: value, members })
export const unread = (message: string): Argument => ({ kind: 'error', field: 'error_arg', message })

const base = { seq: 1, time: { sec: 1713061094, nsec: 376304204 }, refcnt: 1 }

export function makeExec(change: Partial<ExecEvent> = {}): ExecEvent {
  return { type: 'process_exec', ...base, process: makeProcess(), parent: makeParent(), ...change }
}

export function makeExit(change: Partial<ExitEvent> = {}): ExitEvent {
  return {
    type: 'process_exit',
    ...base,
    process: makeProcess(),
    parent: makeParent(),
    signal: '',
    status: 0,
    ...change,
  }
}

export function makeKprobe(change: Partial<HookEvent> = {}): HookEvent {
  return {
    type: 'process_kprobe',
    ...base,
    process: makeProcess(),
    parent: makeParent(),
    tid: 64746,
    hook: makeHook(),
    args: [file('/etc/passwd'), int(2)],
    returned: int(0),
    ...change,
  }
}

export function makeLoss(change: Partial<LossEvent> = {}): LossEvent {
  return {
    type: 'events_lost',
    seq: base.seq,
    time: base.time,
    loss: { stage: 'kernel', exporter: '', reason: 'ring_full_hook' },
    count: 123,
    firstSeq: undefined,
    lastSeq: undefined,
    ...change,
  }
}

export function makeChange(change: Partial<ChangeEvent> = {}): ChangeEvent {
  return {
    type: 'agent_change',
    seq: base.seq,
    time: base.time,
    what: 'policy_removed',
    by: 'api uid=0 pid=812',
    names: ['read-secrets'],
    count: 1,
    mode: 'enforce',
    ...change,
  }
}
