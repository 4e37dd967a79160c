import { statSync } from 'node:fs'
import type { NamespaceKind } from '../../../config/policy/policy.ts'
import { CollectorError } from '../../errors.ts'

/** Their names in /proc/PID/ns. */
export const NAMESPACE_FILES: Readonly<Record<NamespaceKind, string>> = {
  uts: 'uts',
  ipc: 'ipc',
  mnt: 'mnt',
  pid: 'pid',
  pidForChildren: 'pid_for_children',
  net: 'net',
  time: 'time',
  timeForChildren: 'time_for_children',
  cgroup: 'cgroup',
  user: 'user',
}

/** Looks up inode numbers of the namespaces of pid 1; throws CollectorError POLICY_REFUSED for a missing one. */
export function hostNamespaces(procfs: string): (kind: NamespaceKind) => number {
  return (kind) => {
    const file = `${procfs}/1/ns/${NAMESPACE_FILES[kind]}`
    try {
      return statSync(file).ino
    } catch (cause) {
      const message = `cannot determine the host's ${NAMESPACE_FILES[kind]} namespace: ${file} is not readable`
      throw new CollectorError('POLICY_REFUSED', message, { cause })
    }
  }
}
