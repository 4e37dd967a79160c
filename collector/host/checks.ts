/** Checks whether this host and user can run the agent. */
import { readlinkSync } from 'node:fs'
import { CollectorError } from '../errors.ts'
import { hasKprobes } from '../kernel/facts.ts'

/** Inode of the first pid namespace: include/linux/proc_ns.h, PROC_PID_INIT_INO. */
const HOST_PID_NAMESPACE = 0xefff_fffc

/** Throws CollectorError NO_ROOT, NO_BTF, NO_KPROBES or NOT_HOST, each with the next step. */
export function checkHost(hasBtf: () => boolean): void {
  if (process.geteuid?.() !== 0) {
    throw new CollectorError(
      'NO_ROOT',
      `loading BPF programs needs root: expected uid 0, got ${process.geteuid?.()}; run it with sudo`,
    )
  }
  if (!hasBtf()) {
    throw new CollectorError(
      'NO_BTF',
      'this kernel has no type information: expected /sys/kernel/btf/vmlinux (CONFIG_DEBUG_INFO_BTF=y)',
    )
  }
  if (!hasKprobes()) {
    throw new CollectorError(
      'NO_KPROBES',
      'this kernel cannot attach kprobes: expected CONFIG_KPROBES=y and tracefs at /sys/kernel/tracing; `make run` tries a guest kernel instead',
    )
  }
  const namespace = pidNamespace()
  if (namespace !== undefined && namespace !== HOST_PID_NAMESPACE) {
    throw new CollectorError(
      'NOT_HOST',
      `the agent runs in a pid namespace of its own: expected the host's (pid:[${HOST_PID_NAMESPACE}]), got pid:[${namespace}]; in a container use --pid=host or hostPID: true`,
    )
  }
}

/** undefined when /proc does not show it. */
function pidNamespace(): number | undefined {
  try {
    return Number(/\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0])
  } catch {
    return undefined
  }
}
