/** Checks whether this host and user can run the agent. */
import { existsSync, readlinkSync } from 'node:fs'
import { ownFile } from '../../config/base/own.ts'
import { CollectorError } from '../errors.ts'
import type { CollectorErrorCode } from '../errors.ts'
import { checkDescriptors } from './descriptors.ts'
import { readOr } from './read.ts'

/** Inode of the first pid namespace: include/linux/proc_ns.h, PROC_PID_INIT_INO. */
const HOST_PID_NAMESPACE = 0xefff_fffc

/** An installed ktrail has no Makefile. */
const IS_CHECKOUT = existsSync(ownFile('Makefile'))

/** Reasons why the agent cannot run on this kernel, root or not: NO_BTF, NO_KPROBES, LOCKED_DOWN, each with the next step. */
export function kernelProblems(hasBtf: () => boolean, lockdown: string | undefined = readLockdown()): CollectorError[] {
  const problems: CollectorError[] = []
  const report = (code: CollectorErrorCode, message: string): void =>
    void problems.push(new CollectorError(code, message))
  if (!hasBtf())
    report('NO_BTF', 'this kernel has no type information: expected /sys/kernel/btf/vmlinux (CONFIG_DEBUG_INFO_BTF=y)')
  if (!hasKprobes())
    report(
      'NO_KPROBES',
      `this kernel cannot attach kprobes: expected CONFIG_KPROBES=y and tracefs at /sys/kernel/tracing${IS_CHECKOUT ? '; `make run` uses a guest kernel instead' : ''}`,
    )
  if (lockdown === 'confidentiality')
    report(
      'LOCKED_DOWN',
      'the kernel is locked down: expected none or integrity in /sys/kernel/security/lockdown, got confidentiality, which refuses kprobes and BPF reads',
    )
  return problems
}

/** The effective lockdown; undefined if the kernel does not show it (no such security module, or no securityfs). */
export function readLockdown(): string | undefined {
  return /\[(\w+)\]/.exec(readOr('/sys/kernel/security/lockdown') ?? '')?.[1]
}

/** Throws CollectorError NO_DESCRIPTORS, NO_ROOT, NO_BTF, NO_KPROBES, LOCKED_DOWN or NOT_HOST, each with the next step. */
export function checkHost(hasBtf: () => boolean): void {
  checkDescriptors()
  if (process.geteuid?.() !== 0) {
    throw new CollectorError(
      'NO_ROOT',
      `loading BPF programs needs root: expected uid 0, got ${process.geteuid?.()}; run it with sudo`,
    )
  }
  const [problem] = kernelProblems(hasBtf)
  if (problem !== undefined) throw problem
  const namespace = pidNamespace()
  if (namespace !== undefined && namespace !== HOST_PID_NAMESPACE) {
    throw new CollectorError(
      'NOT_HOST',
      `the agent runs in a pid namespace of its own: expected the host's (pid:[${HOST_PID_NAMESPACE}]), got pid:[${namespace}]; in a container use --pid=host or hostPID: true`,
    )
  }
}

/** undefined if /proc does not show it. */
function pidNamespace(): number | undefined {
  try {
    return Number(/\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0])
  } catch {
    return undefined
  }
}

/** Whether this kernel was built with kprobes: their control file exists as soon as tracefs is mounted. */
function hasKprobes(): boolean {
  const paths = ['/sys/kernel/tracing/kprobe_events', '/sys/kernel/debug/tracing/kprobe_events']
  return existsSync('/sys/bus/event_source/devices/kprobe/type') || paths.some((path) => existsSync(path))
}
